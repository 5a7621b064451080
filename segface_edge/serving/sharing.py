"""One engine that many threads ask at a time: what comes together goes through it in one call, or side by side."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from time import monotonic

import numpy as np
import numpy.typing as npt

from segface_edge.engines import Engine, Output
from segface_edge.engines.forks import refuse_inherited
from segface_edge.errors import UsageError
from segface_edge.pictures.geometry import UInt8Array

# Lanes are used for so many seconds after callers met.
_CROWDED_S = 0.25


@dataclass(frozen=True)
class Lanes:
    """Calls side by side, for a CPU that computes one frame a call: threads that share a frame wait for each other at
    every layer, and for whoever decodes beside them.

    Attributes:
        engine: the same model as the shared one, with a share of its threads.
        count: so many calls at a time.
    """

    engine: Engine
    count: int


class _Asked:
    """Frames of one caller, and where the answer is put."""

    def __init__(self, frames: UInt8Array, landmarks: npt.NDArray[np.float32] | None) -> None:
        self.frames, self.landmarks = frames, landmarks
        self.answer: Future[Output] = Future()


class SharedEngine(Engine):
    """Runs another engine in a thread of its own, for any number of threads.

    Frames that are asked for within a short window are run in one call, up to `batch` of them; while a call runs, what
    comes waits for the next one. Where the engine takes one frame a call, callers are served in turn, without a window;
    with lanes, side by side while there are several, and one that is alone has all threads.

    Args:
        engine: what runs them; closed with this one.
        batch: frames of different callers in a call at most; no more than the engine takes.
        window: seconds that a call waits for more frames.
        called: told the number of frames of each call.
        lanes: for several callers; closed with this one.

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
        lanes: Lanes | None = None,
    ) -> None:
        self.source, self.spec, self.device = engine.source, engine.spec, engine.device
        self.min_batch, self.max_batch = engine.min_batch, engine.max_batch
        self.batch = min(batch, engine.spec.batch or engine.max_batch)
        self._engine, self._window, self._called = engine, window if self.batch > 1 else 0.0, called
        self._waiting: deque[_Asked] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._lanes = lanes
        self._running, self._all_threads, self._met = 0, False, -_CROWDED_S
        count = 1 if lanes is None else lanes.count
        self._threads = [threading.Thread(target=self._work, name="shared engine", daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    @property
    def works(self) -> bool:
        """Whether it still answers."""
        return all(thread.is_alive() for thread in self._threads) and not self._closed

    def infer(self, frames: UInt8Array, landmarks: npt.NDArray[np.float32] | None = None) -> Output:
        """As of the engine itself, which raises what it raises; waits for its turn.

        Raises:
            UsageError: another shape or type; it is closed; this process was forked since.
        """
        refuse_inherited(self, self.source)
        self.check(frames)  # what is wrong with one caller's frames must not fail the others' call
        asked = _Asked(frames, landmarks)
        with self._changed:
            if self._closed:
                raise UsageError(self.source, "is closed", "open it again")
            if self._running or self._waiting:
                self._met = monotonic()
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
        for thread in self._threads:
            thread.join()
        self._engine.close()
        if self._lanes is not None:
            self._lanes.engine.close()

    def _work(self) -> None:
        while calls := self._next():
            try:
                self._answer(calls[0], calls[1])
            finally:
                with self._changed:
                    self._running, self._all_threads = self._running - 1, False
                    self._changed.notify_all()

    def _answer(self, engine: Engine, calls: list[_Asked]) -> None:
        try:
            outputs = self._together(engine, calls)
        except Exception as error:
            if len(calls) == 1:
                calls[0].answer.set_exception(error)
                return
            for asked in calls:
                self._alone(engine, asked)
            return
        for asked, output in zip(calls, outputs, strict=True):
            asked.answer.set_result(output)

    def _next(self) -> tuple[Engine, list[_Asked]] | None:
        """The next call, and who runs it; None when it is closed and nobody waits."""
        with self._changed:
            while self._all_threads or not (self._waiting or self._closed):
                self._changed.wait()
            until = monotonic() + self._window
            while self._frames() < self.batch and not self._closed and (left := until - monotonic()) > 0:
                self._changed.wait(left)
            taken: list[_Asked] = []
            frames = 0
            while self._waiting and (not taken or frames + len(self._waiting[0].frames) <= self.batch):
                taken.append(self._waiting.popleft())
                frames += len(taken[-1].frames)
            if not taken:
                return None
            crowded = self._running or self._waiting or monotonic() - self._met < _CROWDED_S
            self._running += 1
            if self._lanes is not None and crowded:
                return self._lanes.engine, taken
            self._all_threads = True
            return self._engine, taken

    def _frames(self) -> int:
        return sum(len(asked.frames) for asked in self._waiting)

    def _together(self, engine: Engine, calls: list[_Asked]) -> list[Output]:
        frames = calls[0].frames if len(calls) == 1 else np.concatenate([asked.frames for asked in calls])
        points = [asked.landmarks for asked in calls if asked.landmarks is not None]
        self._called(len(frames))
        output = engine.infer(frames, np.concatenate(points) if points else None)
        parts, first = [], 0
        for asked in calls:
            parts.append(_part(output, first, first + len(asked.frames), copy=engine.gives_views))
            first += len(asked.frames)
        return parts

    def _alone(self, engine: Engine, asked: _Asked) -> None:
        try:
            (output,) = self._together(engine, [asked])
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
