"""The single-stream scenario (MLPerf's term): one photo after the other, each when the last is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from segface_edge import imaging
from segface_edge.engines import Engine
from segface_edge.errors import UsageError
from segface_edge.imaging import UInt8Array

Clock = Callable[[], float]

STAGES = ("fit", "inference", "restore")
MIN_RUNS = 10


@dataclass(frozen=True)
class Samples:
    """Raw samples of a run.

    Attributes:
        stages: {stage: milliseconds of each measured photo, in order}.
        first_ms: the very first photo, set-up included; not among the samples.
        warmup_runs: how many photos were run before the measurement.
    """

    stages: Mapping[str, list[float]]
    first_ms: float
    warmup_runs: int

    @property
    def frames(self) -> list[float]:
        """Milliseconds of each photo, all stages together."""
        return [sum(values) for values in zip(*self.stages.values(), strict=True)]


def single_stream(
    engine: Engine,
    photo: UInt8Array,
    *,
    warmup_s: float,
    duration_s: float,
    clock: Clock = time.perf_counter,
    progress: Callable[[float], None] = lambda _: None,
) -> Samples:
    """Runs `photo` through fit, inference and restore, again and again.

    Args:
        engine: what to measure.
        photo: (H, W, 3) uint8 RGB, in memory: decoding is not measured.
        warmup_s: seconds before the measurement.
        duration_s: seconds of measurement, and at least 10 photos.
        clock: seconds, monotonic.
        progress: told the share that is done, 0 to 1.

    Raises:
        UsageError: a time is negative.
    """
    if warmup_s < 0 or duration_s < 0:
        raise UsageError("--warmup and --duration", "must not be negative", "give seconds")

    def run() -> list[float]:
        marks = [clock()]
        fitted = imaging.fit(photo, engine.spec.size)
        marks.append(clock())
        labels = engine.infer(fitted.pixels[None]).labels[0]
        marks.append(clock())
        imaging.restore(labels, fitted.geometry, *photo.shape[:2])
        marks.append(clock())
        return [1000 * float(step) for step in np.diff(marks)]

    start = clock()
    first = sum(run())
    warmups = 1
    while clock() - start < warmup_s:
        run()
        warmups += 1
        progress((clock() - start) / (warmup_s + duration_s))
    begin = clock()
    runs: list[list[float]] = []
    while len(runs) < MIN_RUNS or clock() - begin < duration_s:
        runs.append(run())
        progress(min(1.0, (clock() - start) / max(warmup_s + duration_s, 1e-9)))
    stages = {name: list(values) for name, values in zip(STAGES, zip(*runs, strict=True), strict=True)}
    return Samples(stages, first, warmups)
