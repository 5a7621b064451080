"""The single-stream scenario, on a clock that only moves when it is told to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from segface_edge import imaging
from segface_edge.bench.single_stream import MIN_RUNS, STAGES, Samples, single_stream
from segface_edge.errors import UsageError

MakeEngine = Callable[..., Any]
PHOTO = np.zeros((40, 60, 3), np.uint8)
# Seconds, sums of powers of two: exact in binary.
FIT, RESTORE = 0.25, 0.125


class Clock:
    """Seconds that pass only inside the three stages."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def delayed(self, function: Callable[..., Any], seconds: Callable[[], float]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.now += seconds()
            return function(*arguments, **options)

        return call


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(imaging, "fit", clock.delayed(imaging.fit, lambda: FIT))
    monkeypatch.setattr(imaging, "restore", clock.delayed(imaging.restore, lambda: RESTORE))
    return clock


@pytest.fixture
def slow(constant_engine: MakeEngine, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Callable[[list[float]], Any]:
    """An engine whose calls take the given seconds, the last of them from then on."""

    def make(seconds: list[float]) -> Any:
        engine = constant_engine(np.zeros((32, 32)))
        waits = list(seconds)
        run = clock.delayed(engine.run, lambda: waits.pop(0) if len(waits) > 1 else waits[0])
        monkeypatch.setattr(engine, "run", run)
        return engine

    return make


def test_every_stage_has_its_own_time(slow: Callable[[list[float]], Any], clock: Clock) -> None:
    samples = single_stream(slow([0.5]), PHOTO, warmup_s=0, duration_s=0, clock=clock)
    assert tuple(samples.stages) == STAGES == ("fit", "inference", "restore")
    assert samples.stages == {"fit": [250.0] * MIN_RUNS, "inference": [500.0] * MIN_RUNS, "restore": [125.0] * MIN_RUNS}


def test_a_photos_time_is_the_sum_of_its_stages(slow: Callable[[list[float]], Any], clock: Clock) -> None:
    waits = [8.0, *(0.5 * i for i in range(1, MIN_RUNS + 1))]
    samples = single_stream(slow(waits), PHOTO, warmup_s=0, duration_s=0, clock=clock)
    assert samples.stages["inference"] == [500.0 * i for i in range(1, MIN_RUNS + 1)]
    assert samples.frames == [375.0 + 500.0 * i for i in range(1, MIN_RUNS + 1)]


def test_the_first_photo_is_kept_apart(slow: Callable[[list[float]], Any], clock: Clock) -> None:
    samples = single_stream(slow([16.0, 0.5]), PHOTO, warmup_s=0, duration_s=0, clock=clock)
    assert samples.first_ms == 16_375
    assert samples.warmup_runs == 1
    assert max(samples.frames) == 875


def test_there_are_at_least_ten_runs(slow: Callable[[list[float]], Any], clock: Clock) -> None:
    engine = slow([100.0])
    samples = single_stream(engine, PHOTO, warmup_s=0, duration_s=1, clock=clock)
    assert MIN_RUNS == 10
    assert len(samples.frames) == 10
    assert len(engine.calls) == 11


@pytest.mark.parametrize(
    ("duration", "runs"), [(0, 10), (10, 10), (10.25, 11), (20, 20), (20.125, 21)], ids=lambda value: str(value)
)
def test_the_measurement_lasts_as_long_as_asked(
    slow: Callable[[list[float]], Any], clock: Clock, duration: float, runs: int
) -> None:
    """Each photo takes one second: 0.25 + 0.625 + 0.125."""
    samples = single_stream(slow([0.625]), PHOTO, warmup_s=0, duration_s=duration, clock=clock)
    assert len(samples.frames) == runs


@pytest.mark.parametrize(("warmup", "runs"), [(0, 1), (1, 1), (1.5, 2), (5, 5)])
def test_warm_up_lasts_as_long_as_asked_and_is_not_measured(
    slow: Callable[[list[float]], Any], clock: Clock, warmup: float, runs: int
) -> None:
    engine = slow([0.625] * runs + [1.625])
    samples = single_stream(engine, PHOTO, warmup_s=warmup, duration_s=0, clock=clock)
    assert samples.warmup_runs == runs
    assert samples.frames == [2000.0] * 10
    assert engine.calls == [1] * (runs + 10)


def test_progress_rises_to_1(slow: Callable[[list[float]], Any], clock: Clock) -> None:
    told: list[float] = []
    single_stream(slow([0.625]), PHOTO, warmup_s=4, duration_s=12, clock=clock, progress=told.append)
    assert told == sorted(told)
    assert told[0] == 2 / 16
    assert told[-1] == 1
    assert len(told) == 3 + 12


def test_the_engine_gets_the_photo_in_its_frame(echo_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = echo_engine(32)
    seen: list[npt.NDArray[np.uint8]] = []
    run = engine.run
    monkeypatch.setattr(engine, "run", lambda frames: (seen.append(frames), run(frames))[1])
    photo = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    single_stream(engine, photo, warmup_s=0, duration_s=0)
    assert all(np.array_equal(frames, imaging.fit(photo, 32).pixels[None]) for frames in seen)


@pytest.mark.parametrize(("warmup", "duration"), [(-1, 1), (1, -0.5)])
def test_negative_times_are_a_usage_error(constant_engine: MakeEngine, warmup: float, duration: float) -> None:
    engine = constant_engine(np.zeros((32, 32)))
    with pytest.raises(UsageError, match="must not be negative"):
        single_stream(engine, PHOTO, warmup_s=warmup, duration_s=duration)
    assert engine.calls == []


def test_stages_of_unequal_length_are_an_error() -> None:
    with pytest.raises(ValueError, match="shorter|longer"):
        _ = Samples({"fit": [1.0], "inference": [1.0, 2.0]}, 0.0, 1).frames
