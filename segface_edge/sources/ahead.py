"""Items made in a thread of their own, a few ahead of whoever takes them: the stages of a pipeline."""

from __future__ import annotations

import atexit
import queue
import threading
import time
import weakref
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Generic, TypeVar

T = TypeVar("T")

# How often who waits looks whether it is still to wait.
_LOOK_S = 0.1
# Those that are not closed. A thread that is in the midst of OpenCV or an engine when Python ends takes it down.
_OPEN: weakref.WeakSet[Ahead[Any]] = weakref.WeakSet()


class Ahead(Generic[T]):
    """The same items in the same order, made beside whoever takes them.

        with Ahead(map(decode, files), waiting=4) as pictures:
            for picture in pictures: ...

    Args:
        items: iterated in the thread; an `Ahead` before it makes a pipeline, and is closed first.
        waiting: so many items wait to be taken at most, which bounds the memory.
        newest: never wait for who takes: the item that has waited longest makes room.
        patience: seconds after which `close` leaves a thread that hangs, in a camera's driver for example, to itself;
            None: it waits.
        name: of the thread.

    Attributes:
        dropped: items that nobody took, so far.

    Raises:
        Whatever `items` raised, where it was raised: the items before it come first.
    """

    def __init__(
        self,
        items: Iterable[T],
        *,
        waiting: int,
        newest: bool = False,
        patience: float | None = None,
        name: str = "ahead",
    ) -> None:
        self.dropped = 0
        self._patience = patience
        self._items, self._newest = items, newest
        self._stop = threading.Event()
        self._queue: queue.Queue[_Item[T] | _End] = queue.Queue(waiting)
        self._ended = False
        self._thread = threading.Thread(target=self._make, name=name, daemon=True)
        self._thread.start()
        _OPEN.add(self)

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        while not self._ended:
            try:
                found = self._queue.get(timeout=_LOOK_S)
            except queue.Empty:
                self._ended = self._stop.is_set() or not (self._thread.is_alive() or self._queue.qsize())
                continue
            if isinstance(found, _Item):
                return found.value
            self._ended = True
            if found.error is not None:
                raise found.error
        raise StopIteration

    def close(self) -> None:
        """Ends the thread; what waits is let go."""
        self._stop.set()
        self._ended = True
        began = time.monotonic()
        while self._thread.is_alive() and (self._patience is None or time.monotonic() - began < self._patience):
            self._take()
            self._thread.join(_LOOK_S / 2)
        _OPEN.discard(self)

    def __enter__(self) -> Ahead[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _make(self) -> None:
        end: BaseException | None = None
        try:
            items = iter(self._items)
            try:
                while not self._stop.is_set():
                    try:
                        item = next(items)
                    except StopIteration:
                        break
                    self._put(_Item(item))
            finally:
                close = getattr(items, "close", None)
                if close is not None:  # a generator has something open, maybe
                    close()
        except BaseException as error:  # who takes the items hears of it, whatever it is
            end = error
        self._put(_End(end), last=True)

    def _put(self, what: _Item[T] | _End, *, last: bool = False) -> None:
        while not self._stop.is_set():
            try:
                self._queue.put(what, timeout=0 if self._newest and not last else _LOOK_S)
                return
            except queue.Full:
                if self._newest and not last:
                    self.dropped += self._take()

    def _take(self) -> int:
        try:
            self._queue.get_nowait()
        except queue.Empty:
            return 0
        return 1


class _Item(Generic[T]):
    """One that was made."""

    def __init__(self, value: T) -> None:
        self.value = value


class _End:
    """There are no more, and why."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


@atexit.register
def _close_all() -> None:
    for one in list(_OPEN):
        one.close()
