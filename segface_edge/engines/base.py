"""The engine seam: frames in as bytes, label maps out as bytes."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from segface_edge.errors import IncompatibleEngineError, UsageError
from segface_edge.pictures.geometry import UInt8Array
from segface_edge.spec import ModelSpec

from .forks import is_inherited, made, refuse_inherited
from .layers import Profile

if TYPE_CHECKING:  # Python 3.11 has it
    from typing_extensions import Self

# Frames a call where the model takes any number: bounds the memory of a large batch.
MAX_BATCH = 8
# Suffixes of TensorRT plans.
PLAN_SUFFIXES = (".plan", ".engine", ".trt")
# More threads than any machine has cores only cost memory, without end.
MAX_THREADS = 256
# What to do about a model that warps faces itself where that cannot be run.
WARP_OUTSIDE = "export it with the warp outside: segface-edge export --warp outside"


def cores() -> int | None:
    """CPU cores that this process may use; None where that cannot be told."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@dataclass(frozen=True)
class Output:
    """What an engine returns for N frames.

    Attributes:
        labels: (N, S, S) uint8.
        confidence: (N, S, S) uint8, or None where the model does not give it.
        logits: (N, K, S, S) float32, or None where the model does not give them.
    """

    labels: UInt8Array
    confidence: UInt8Array | None = None
    logits: npt.NDArray[np.float32] | None = None


class Engine(ABC):
    """A loaded model.

    Attributes:
        source: the file's name, for messages and reports.
        spec: the model's contract.
        device: where it runs, as a user names it: `cpu`, `cuda:0`.
        min_batch, max_batch: fewest and most frames a call, where the model takes any number.
        gives_views: what `run` returns is overwritten by the next call.
    """

    source: str
    spec: ModelSpec
    device: str
    min_batch: int = 1
    max_batch: int = MAX_BATCH
    gives_views: bool = False

    def __new__(cls, *_: object, **__: object) -> Self:
        """Of every engine, whatever its own `__init__` does."""
        engine = super().__new__(cls)
        made(engine)
        return engine

    @abstractmethod
    def run(self, frames: UInt8Array) -> Output:
        """Runs frames, (N, S, S, 3) uint8 RGB, where N is the model's batch, or any number if that is open."""

    def run_warped(self, frames: UInt8Array, landmarks: npt.NDArray[np.float32]) -> Output:  # noqa: ARG002
        """`run` of a model that warps faces itself, by landmarks (N, 5, 2), pixels of the frames.

        Raises:
            UsageError: this engine runs no such model.
        """
        raise UsageError(self.source, "warps faces itself, which this engine does not run", WARP_OUTSIDE)

    @abstractmethod
    def describe(self) -> dict[str, object]:
        """What runs where: `runtime`, its version, providers, threads; for reports."""

    def close(self) -> None:  # noqa: B027 - nothing to free is a fine default
        """Frees what the engine holds; it cannot be used afterwards."""

    def release(self) -> None:
        """`close`, but for a forked child's, which would wait for threads that it has not."""
        if not is_inherited(self):
            self.close()

    def infer(self, frames: UInt8Array, landmarks: npt.NDArray[np.float32] | None = None) -> Output:
        """Runs any number N >= 1 of frames, in calls of the size that the model takes.

        Args:
            frames: (N, S, S, 3) uint8 RGB.
            landmarks: (N, 5, 2) float32, pixels of the frames, for a model that warps faces itself
                (`warped.infer_squares` knows which does).

        Raises:
            UsageError: another shape or type; this process was forked since the engine was opened.
            IncompatibleEngineError: the model's output contradicts its metadata.
        """
        refuse_inherited(self, self.source)
        outputs = []
        calls = list(self._in_calls(frames))
        done = 0
        for chunk, count in calls:
            if landmarks is None:
                output = self.run(chunk)
            else:
                points = landmarks[done : done + count]
                output = self.run_warped(chunk, np.concatenate([points, points[-1:].repeat(len(chunk) - count, 0)]))
            done += count
            if self.gives_views and len(calls) > 1:
                output = _copied(output)
            outputs.append(output if len(output.labels) == count else _first(output, count))
        side = self.spec.size
        for output in outputs:
            if output.labels.shape[1:] != (side, side):  # whatever the graph says that it gives
                raise IncompatibleEngineError(
                    self.source,
                    f"gives labels of {output.labels.shape[1:]}, its metadata promises {side} x {side}",
                    "export it again: segface-edge export",
                )
        joined = outputs[0] if len(outputs) == 1 else _join(outputs)
        highest = int(joined.labels.max())
        if highest >= len(self.spec.classes):
            raise IncompatibleEngineError(
                self.source,
                f"gives the label {highest}, its metadata names {len(self.spec.classes)} classes",
                "export it again: segface-edge export",
            )
        return joined

    def finite(self, frames: UInt8Array) -> bool | None:  # noqa: ARG002
        """Whether all logits of the frames are finite, None where they cannot be seen: an argmax hides a NaN.

        Args:
            frames: as for `infer`.
        """
        return None

    def profile(self, frames: UInt8Array, runs: int) -> Profile:  # noqa: ARG002
        """How long each layer takes.

        Args:
            frames: (N, S, S, 3) uint8 RGB, of one call.
            runs: so many are measured.

        Raises:
            UsageError: the runtime does not tell.
        """
        raise UsageError(
            self.source, "is run by an engine that does not tell its layers' times", "profile an ONNX file or a plan"
        )

    def check(self, frames: UInt8Array) -> None:
        """Raises UsageError where frames are not (N, S, S, 3) uint8, as `infer` takes them."""
        size = self.spec.size
        if frames.ndim != 4 or frames.shape[1:] != (size, size, 3) or frames.dtype != np.uint8 or not len(frames):
            raise UsageError(
                f"frames {frames.shape} {frames.dtype}", f"are not (N, {size}, {size}, 3) uint8", "use fitting.fit"
            )

    def _in_calls(self, frames: UInt8Array) -> Iterator[tuple[UInt8Array, int]]:
        """The frames in calls of the size that the model takes, and how many of each are meant: the last one of too
        few is repeated.

        Raises:
            UsageError: another shape or type than `infer` takes.
        """
        self.check(frames)
        step = self.spec.batch or max(self.min_batch, min(len(frames), self.max_batch))
        least = self.spec.batch or self.min_batch
        for start in range(0, len(frames), step):
            chunk = frames[start : start + step]
            count = len(chunk)
            if count < least:
                chunk = np.concatenate([chunk, np.repeat(chunk[-1:], least - count, axis=0)])
            yield chunk, count

    def infer_staged(self, frames: UInt8Array, now: Callable[[], float]) -> tuple[Output, dict[str, float]]:
        """`infer`, with the seconds of its stages: `inference`, and where the engine can tell them apart
        `host_to_device` and `device_to_host` (otherwise transfers are part of `inference`).

        Args:
            frames: as for `infer`.
            now: seconds, monotonic.
        """
        start = now()
        output = self.infer(frames)
        return output, {"inference": now() - start}

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _copied(output: Output) -> Output:
    return Output(
        output.labels.copy(),
        None if output.confidence is None else output.confidence.copy(),
        None if output.logits is None else output.logits.copy(),
    )


def _first(output: Output, count: int) -> Output:
    return Output(
        output.labels[:count],
        None if output.confidence is None else output.confidence[:count],
        None if output.logits is None else output.logits[:count],
    )


def _join(outputs: list[Output]) -> Output:
    confidences = [output.confidence for output in outputs if output.confidence is not None]
    logits = [output.logits for output in outputs if output.logits is not None]
    return Output(
        np.concatenate([output.labels for output in outputs]),
        np.concatenate(confidences) if confidences else None,
        np.concatenate(logits) if logits else None,
    )
