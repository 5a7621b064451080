"""Scenarios on a clock that moves only where we say: every figure is exact."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from segface_edge.bench.clock import ManualClock
from segface_edge.bench.pipeline import Pipeline
from segface_edge.bench.scenarios import Samples, Scenario, measure
from segface_edge.bench.statistics import paired_ratio, summary
from segface_edge.engines import FakeEngine
from segface_edge.errors import UsageError

Delay = float | Callable[[int], float]


@pytest.fixture
def run(portrait: Path) -> Callable[..., tuple[list[Samples], list[FakeEngine]]]:
    """Measures fake engines of the given delays."""

    def run(*delays: Delay, **options: object) -> tuple[list[Samples], list[FakeEngine]]:
        clock = ManualClock()
        engines = [FakeEngine(delay=delay, sleep=clock.sleep) for delay in delays]
        scenario = Scenario(**{"warmup_s": 0, "duration_s": 1, **options})  # type: ignore[arg-type]
        content = portrait.read_bytes()
        pipelines = [Pipeline(engine, content, span="frame", clock=clock) for engine in engines]
        return measure(pipelines, scenario, clock), engines

    return run


Run = Callable[..., tuple[list[Samples], list[FakeEngine]]]


def test_a_fixed_delay_is_every_query_s_latency(run: Run) -> None:
    (samples,), _ = run(0.010)
    assert samples.queries == pytest.approx([10.0] * 100)
    assert samples.stages["inference"] == pytest.approx([10.0] * 100)
    assert samples.stages["fit"] == samples.stages["restore"] == [0.0] * 100


def test_latency_is_the_sum_of_the_stages(run: Run) -> None:
    (samples,), _ = run(lambda call: 0.010 + 0.001 * (call % 7))
    sums = [sum(stage[i] for stage in samples.stages.values()) for i in range(len(samples.queries))]
    assert samples.queries == pytest.approx(sums)
    assert list(samples.stages) == ["fit", "inference", "restore"]


def test_two_modes_are_both_seen(run: Run) -> None:
    (samples,), _ = run(lambda call: 0.010 if call % 4 else 0.030)
    found = summary(samples.queries)
    assert found["p50"] == pytest.approx(10)
    assert found["p90"] == pytest.approx(30)
    assert found["mean"] == pytest.approx(15, rel=0.02)


def test_the_first_query_is_kept_apart(run: Run) -> None:
    (samples,), _ = run(lambda call: 5.0 if call == 0 else 0.010)
    assert samples.first_ms == pytest.approx(5000)
    assert max(samples.queries) == pytest.approx(10)


def test_warm_up_lasts_as_long_as_asked_and_is_not_measured(run: Run) -> None:
    (samples,), (engine,) = run(lambda call: 1 / 8 if call < 8 else 1 / 64, warmup_s=1.0)
    assert samples.warmup_queries == 8
    assert samples.queries == [1000 / 64] * 64
    assert len(engine.calls) == 72


def test_a_slow_engine_still_gets_its_least_number_of_queries(run: Run) -> None:
    (samples,), _ = run(2.0, min_queries=7)
    assert len(samples.queries) == 7


def test_gaps_are_waited_for_and_not_measured(run: Run) -> None:
    (samples,), _ = run(1 / 32, gap_ms=1000 / 32)
    assert samples.queries == [1000 / 32] * 16
    assert samples.seconds == 1.0


def test_engines_run_in_turn_and_in_alternating_order(portrait: Path) -> None:
    clock = ManualClock()
    order: list[str] = []

    def engine(name: str) -> FakeEngine:
        return FakeEngine(delay=lambda _: order.append(name) or 1 / 16, sleep=clock.sleep)  # type: ignore[func-returns-value]

    pipelines = [Pipeline(engine(name), portrait.read_bytes(), span="engine", clock=clock) for name in "ab"]
    measure(pipelines, Scenario(warmup_s=0, duration_s=0.25, min_queries=4), clock)
    assert "".join(order) == "ab" + "abba" + "abba"


def test_a_drifting_machine_does_not_move_the_ratio(portrait: Path) -> None:
    clock = ManualClock()

    def drifting(factor: float) -> FakeEngine:
        return FakeEngine(delay=lambda _: factor * 0.02 * (1 + 0.2 * clock.now()), sleep=clock.sleep)

    pipelines = [Pipeline(drifting(factor), portrait.read_bytes(), span="engine", clock=clock) for factor in (1, 1.1)]
    base, other = measure(pipelines, Scenario(warmup_s=0, duration_s=2), clock)
    assert base.queries[-1] > 1.3 * base.queries[0]
    assert paired_ratio(other.openings, base.openings).ratio == pytest.approx(1.1, rel=0.002)


def test_a_round_of_quick_queries_is_their_mean(run: Run) -> None:
    # 3.9 and 7.8 ms in turn: four of them are the first to fill a round of 20 ms.
    (samples,), _ = run(lambda call: 1 / 128 if call % 2 else 1 / 256, duration_s=6 / 256)
    assert samples.openings[0][:2] == [1000 * 1.5 / 256] * 2
    assert len(samples.queries) >= 4 * len(samples.openings[0])


@pytest.mark.parametrize("name", ["multi-stream", "offline"])
def test_a_query_of_several_photos_is_one_call(run: Run, name: str) -> None:
    (samples,), (engine,) = run(0.040, name=name, frames=4)
    assert set(engine.calls) == {4}
    assert samples.queries == pytest.approx([40.0] * 25)


def test_a_camera_slower_than_the_engine_drops_nothing(run: Run) -> None:
    (samples,), _ = run(0.010, name="camera", fps=25, duration_s=2)
    assert samples.dropped == 0
    assert samples.ages_ms == pytest.approx([10.0] * 50)
    assert samples.seconds == pytest.approx(2.0)  # 50 frames at 25 FPS, though the last result was there before


def test_a_camera_faster_than_the_engine_drops_frames_and_results_grow_old(run: Run) -> None:
    # A frame every 40 ms, 100 ms each: frames 0, 2, 5, 7, 10 … are taken, at 0, 100, 200, 300, 400 … ms.
    (samples,), _ = run(0.100, name="camera", fps=25, duration_s=0.44, min_queries=1)
    assert len(samples.queries) == 5
    assert samples.dropped == 11 - 5
    assert samples.ages_ms == pytest.approx([100, 120, 100, 120, 100])
    assert samples.seconds == pytest.approx(0.5)


def test_a_camera_s_last_frame_may_be_dropped_too(run: Run) -> None:
    # Frames at 0, 40, 80, 120 ms; 150 ms each: when the engine is free again the camera is off.
    (samples,), _ = run(0.150, name="camera", fps=25, duration_s=0.16, min_queries=1)
    assert samples.ages_ms == pytest.approx([150.0, 180.0])
    assert (len(samples.queries), samples.dropped) == (2, 2)
    (samples,), _ = run(0.170, name="camera", fps=25, duration_s=0.16, min_queries=1)
    assert (len(samples.queries), samples.dropped) == (1, 3)


def test_a_camera_s_gap_makes_results_rarer(run: Run) -> None:
    (samples,), _ = run(0.010, name="camera", fps=100, duration_s=1, gap_ms=90)
    assert len(samples.queries) + samples.dropped == 100
    assert len(samples.queries) in (10, 11)


def test_progress_reaches_one(portrait: Path) -> None:
    clock = ManualClock()
    pipeline = Pipeline(FakeEngine(delay=0.01, sleep=clock.sleep), portrait.read_bytes(), span="frame", clock=clock)
    for name in ("single-stream", "camera"):
        shares: list[float] = []
        measure([pipeline], Scenario(name=name, warmup_s=0, duration_s=0.5), clock, progress=shares.append)  # type: ignore[arg-type]
        assert shares == sorted(shares)
        assert shares[-1] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "server"}, "use one of: single-stream"),
        ({"name": "camera", "frames": 2}, "one photo a query"),
        ({"frames": 2}, "one photo a query"),
        ({"name": "offline", "frames": 0}, "frames a query 0"),
        ({"fps": 0.0}, "not positive"),
        ({"fps": float("inf")}, "not positive"),
        ({"warmup_s": -1.0}, "--warmup"),
        ({"duration_s": float("nan")}, "--duration"),
        ({"min_queries": 0}, "--min-queries"),
        ({"gap_ms": -1.0}, "--gap-ms"),
        ({"openings": 0}, "--openings"),
    ],
)
def test_scenarios_that_make_no_sense_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Scenario(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("span", "stages"),
    [
        ("engine", ["inference"]),
        ("frame", ["fit", "inference", "restore"]),
        ("all", ["decode", "fit", "inference", "restore", "draw"]),
    ],
)
def test_a_span_has_its_stages_in_order(portrait: Path, span: str, stages: list[str]) -> None:
    pipeline = Pipeline(FakeEngine(), portrait.read_bytes(), span=span, clock=ManualClock())  # type: ignore[arg-type]
    assert list(pipeline.query(2)) == stages


def test_an_unknown_span_is_refused(portrait: Path) -> None:
    with pytest.raises(UsageError, match="use one of: engine, frame, all"):
        Pipeline(FakeEngine(), portrait.read_bytes(), span="half", clock=ManualClock())  # type: ignore[arg-type]


def test_what_surrounds_measuring_is_entered_after_warm_up_and_left_at_its_end(portrait: Path) -> None:
    clock = ManualClock()
    times: list[float] = []

    @contextmanager
    def measuring() -> Iterator[None]:
        times.append(clock.now())
        yield
        times.append(clock.now())

    pipeline = Pipeline(FakeEngine(delay=0.1, sleep=clock.sleep), portrait.read_bytes(), span="engine", clock=clock)
    for name in ("single-stream", "camera"):
        start = clock.now()
        scenario = Scenario(name=name, warmup_s=1, duration_s=3, fps=10)  # type: ignore[arg-type]
        (samples,) = measure([pipeline], scenario, clock, measuring=measuring)
        assert times[0] - start == pytest.approx(1, abs=0.11)
        assert times[1] - times[0] == pytest.approx(samples.seconds, abs=0.11)
        assert samples.seconds == pytest.approx(3, abs=0.11)
        times.clear()


def test_time_is_divided_between_openings() -> None:
    part = Scenario(warmup_s=1.0, duration_s=5.0, min_queries=12, openings=5).of_one_opening()
    assert (part.warmup_s, part.duration_s, part.min_queries, part.openings) == (0.2, 1.0, 3, 1)


def test_what_several_openings_measured_is_one_engine_s(run: Run) -> None:
    (first,), _ = run(1 / 32)
    (second,), _ = run(1 / 16)
    samples = Samples()
    samples.extend(first)
    samples.extend(second)
    assert samples.queries == [1000 / 32] * 32 + [1000 / 16] * 16
    assert [len(opening) for opening in samples.openings] == [32, 16]
    assert samples.first_ms == first.first_ms
    assert samples.seconds == 2.0
    assert samples.warmup_queries == 2
