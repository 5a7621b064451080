"""One engine that many threads ask at a time: what comes together goes through it in one call."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from time import monotonic

import numpy as np
import numpy.typing as npt

from segface_edge.engines import Engine, Output
from segface_edge.errors import UsageError
from segface_edge.pictures.geometry import UInt8Array


class _Asked:
    """Frames of one caller, and where the answer is put."""

    def __init__(self, frames: UInt8Array, landmarks: npt.NDArray[np.float32] | None) -> None:
        self.frames, self.landmarks = frames, landmarks
        self.answer: Future[Output] = Future()


class SharedEngine(Engine):
    """Runs another engine in a thread of its own, for any number of threads.

    Frames that are asked for within a short window are run in one call, up to `batch` of them; while a call runs, what
    comes waits for the next one. Where the engine takes one frame a call, callers are served in turn, without a window.

    Args:
        engine: what runs them; closed with this one.
        batch: frames of different callers in a call at most; no more than the engine takes.
        window: seconds that a call waits for more frames.
        called: told the number of frames of each call.

    Attributes:
        batch: frames of different callers in a call at most.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        batch: int = 8,
        window: float = 0.002,
        called: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.source, self.spec, self.device = engine.source, engine.spec, engine.device
        self.min_batch, self.max_batch = engine.min_batch, engine.max_batch
        self.batch = min(batch, engine.spec.batch or engine.max_batch)
        self._engine, self._window, self._called = engine, window if self.batch > 1 else 0.0, called
        self._waiting: deque[_Asked] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="shared engine", daemon=True)
        self._thread.start()

    @property
    def works(self) -> bool:
        """Whether it still answers."""
        return self._thread.is_alive() and not self._closed

    def infer(self, frames: UInt8Array, landmarks: npt.NDArray[np.float32] | None = None) -> Output:
        """As of the engine itself, which raises what it raises; waits for its turn.

        Raises:
            UsageError: another shape or type; it is closed.
        """
        self.check(frames)  # what is wrong with one caller's frames must not fail the others' call
        asked = _Asked(frames, landmarks)
        with self._changed:
            if self._closed:
                raise UsageError(self.source, "is closed", "open it again")
            self._waiting.append(asked)
            self._changed.notify_all()
        return asked.answer.result()

    def run(self, frames: UInt8Array) -> Output:
        """As `infer`."""
        return self.infer(frames)

    def run_warped(self, frames: UInt8Array, landmarks: npt.NDArray[np.float32]) -> Output:
        """As `infer`."""
        return self.infer(frames, landmarks)

    def describe(self) -> dict[str, object]:
        """As the engine itself."""
        return self._engine.describe()

    def close(self) -> None:
        """Answers what waits, then closes the engine."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()
        self._engine.close()

    def _work(self) -> None:
        while calls := self._next():
            try:
                outputs = self._together(calls)
            except Exception as error:
                if len(calls) == 1:
                    calls[0].answer.set_exception(error)
                    continue
                for asked in calls:
                    self._alone(asked)
                continue
            for asked, output in zip(calls, outputs, strict=True):
                asked.answer.set_result(output)

    def _next(self) -> list[_Asked]:
        """What goes into the next call; nothing when it is closed and nobody waits."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            until = monotonic() + self._window
            while self._frames() < self.batch and not self._closed and (left := until - monotonic()) > 0:
                self._changed.wait(left)
            taken: list[_Asked] = []
            frames = 0
            while self._waiting and (not taken or frames + len(self._waiting[0].frames) <= self.batch):
                taken.append(self._waiting.popleft())
                frames += len(taken[-1].frames)
            return taken

    def _frames(self) -> int:
        return sum(len(asked.frames) for asked in self._waiting)

    def _together(self, calls: list[_Asked]) -> list[Output]:
        frames = calls[0].frames if len(calls) == 1 else np.concatenate([asked.frames for asked in calls])
        points = [asked.landmarks for asked in calls if asked.landmarks is not None]
        self._called(len(frames))
        output = self._engine.infer(frames, np.concatenate(points) if points else None)
        parts, first = [], 0
        for asked in calls:
            parts.append(_part(output, first, first + len(asked.frames), copy=self._engine.gives_views))
            first += len(asked.frames)
        return parts

    def _alone(self, asked: _Asked) -> None:
        try:
            (output,) = self._together([asked])
        except Exception as error:
            asked.answer.set_exception(error)
        else:
            asked.answer.set_result(output)


def _part(output: Output, first: int, last: int, *, copy: bool) -> Output:
    """Of some frames; as a copy where the engine's next call would overwrite it."""
    parts = [
        None if values is None else values[first:last].copy() if copy else values[first:last]
        for values in (output.labels, output.confidence, output.logits)
    ]
    return Output(*parts)  # type: ignore[arg-type]
