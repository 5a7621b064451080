"""What NVIDIA's code says: one log a module for the whole process, which records for whoever listens."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

from segface_edge.errors import MissingDependencyError

# TensorRT keeps the first log that it is given, for all that follows: none is ever given up.
_LOGS: WeakKeyDictionary[ModuleType, Any] = WeakKeyDictionary()
_LOCK = threading.Lock()


class Record:
    """What was said while somebody listened.

    Attributes:
        errors, warnings: messages, each once, in order.
        layers: accounts of layers, where the log alone has them.
    """

    def __init__(self) -> None:
        self.errors: dict[str, None] = {}
        self.warnings: dict[str, None] = {}
        self.layers: list[str] = []

    def last_error(self) -> str:
        """The last error."""
        return next(reversed(self.errors), "no reason given")


@contextmanager
def listening(trt: ModuleType) -> Iterator[tuple[Any, Record]]:
    """The log of a module, and a record of what it says meanwhile: by this thread, and by threads of NVIDIA's own."""
    with _LOCK:
        if trt not in _LOGS:
            _LOGS[trt] = _make(trt)
        log = _LOGS[trt]
    record = Record()
    me = threading.get_ident()
    with log.lock:
        log.listeners.append((me, record))
    try:
        yield log, record
    finally:
        with log.lock:
            log.listeners.remove((me, record))


def start(make: Callable[[Any], Any], log: Any, record: Record, subject: object) -> Any:
    """A Builder or a Runtime.

    Raises:
        MissingDependencyError: it cannot start CUDA. The bindings make a TypeError of a constructor that fails.
    """
    try:
        return make(log)
    except (TypeError, RuntimeError) as error:
        raise MissingDependencyError(
            subject,
            f"TensorRT cannot use the GPU ({record.last_error() if record.errors else error})",
            "the driver may be too old for it, see segface-edge doctor",
        ) from error


def plain(words: str) -> str:
    """One line of printable characters: some messages of NVIDIA's hold raw bytes."""
    return " ".join("".join(c if c.isprintable() else " " for c in words).split())


def _make(trt: ModuleType) -> Any:
    severities = trt.ILogger

    class Log(trt.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()  # else the binding refuses it
            self.lock = threading.Lock()
            self.listeners: list[tuple[int, Record]] = []

        def log(self, severity: Any, msg: str) -> None:
            me = threading.get_ident()
            with self.lock:
                mine = [record for thread, record in self.listeners if thread == me]
                # A thread of NVIDIA's own works for one of them; which, it does not say.
                heard = mine[-1:] or [record for _, record in self.listeners]
                for record in heard:
                    if severity in (severities.INTERNAL_ERROR, severities.ERROR):
                        record.errors[plain(msg)] = None
                    elif severity == severities.WARNING:
                        record.warnings[plain(msg)] = None
                    elif "LayerType: " in msg:
                        record.layers.append(msg)

    return Log()
