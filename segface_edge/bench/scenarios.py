"""How queries come: MLPerf Inference's scenarios (Reddi et al., ISCA 2020, section 3.1), and a camera.

- `single-stream`: one photo, the next when the last is done; what counts is latency (p90, p99).
- `multi-stream`: a query of n photos at once, the next when the last is done; latency of the query.
- `offline`: all photos are there; what counts is throughput.
- `camera`: a frame every 1/fps seconds whether or not the last is done; only the newest is kept, so what counts is how
  many frames are dropped and how old a result is.

Several engines are measured in turn, in short rounds of alternating order (A B, B A, …): a machine whose speed drifts
then drifts for all of them alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from segface_edge.errors import UsageError

from .clock import Clock
from .pipeline import Pipeline

Name = Literal["single-stream", "multi-stream", "offline", "camera"]

# A round's shortest time for each engine: long enough for a clock, short enough for a machine's drift.
ROUND_S = 0.02


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """How queries come, and for how long.

    Attributes:
        name: see the module.
        frames: photos in a query; 1 for `single-stream` and `camera`.
        fps: of the camera.
        warmup_s: seconds before measuring, per engine.
        duration_s: seconds of measuring, per engine.
        min_queries: queries per engine at least, however long they take.
        openings: how often the engines are opened anew, for comparisons: the time is divided between openings.
        gap_ms: pause between queries, not measured.
    """

    name: Name = "single-stream"
    frames: int = 1
    fps: float = 30.0
    warmup_s: float = 1.0
    duration_s: float = 5.0
    min_queries: int = 10
    gap_ms: float = 0.0
    openings: int = 1

    def __post_init__(self) -> None:
        if self.name not in get_args(Name):
            raise UsageError(f"scenario {self.name!r}", "is unknown", f"use one of: {', '.join(get_args(Name))}")
        if self.name in ("single-stream", "camera") and self.frames != 1:
            raise UsageError(f"scenario '{self.name}'", "takes one photo a query", "use multi-stream or offline")
        for what, value, least in (
            ("frames a query", self.frames, 1),
            ("--min-queries", self.min_queries, 1),
            ("--warmup", self.warmup_s, 0),
            ("--duration", self.duration_s, 0),
            ("--gap-ms", self.gap_ms, 0),
            ("--openings", self.openings, 1),
        ):
            if not (math.isfinite(value) and value >= least):
                raise UsageError(f"{what} {value}", "is out of range", f"give {least} or more")
        if not (math.isfinite(self.fps) and self.fps > 0):
            raise UsageError(f"--fps {self.fps}", "is not positive", "give frames per second")

    def of_one_opening(self) -> Scenario:
        """What each opening is measured for."""
        return replace(
            self,
            warmup_s=self.warmup_s / self.openings,
            duration_s=self.duration_s / self.openings,
            min_queries=-(-self.min_queries // self.openings),
            openings=1,
        )


@dataclass
class Samples:
    """Raw samples of one engine.

    Attributes:
        stages: {stage: milliseconds of each query, in order}.
        openings: for each time that the engine was opened, mean milliseconds of a query in each round; equally many
            rounds for all engines measured together.
        first_ms: the very first query, set-up included; not among the samples.
        warmup_queries: queries before the measurement.
        seconds: of measuring, waiting included; for `camera`.
        ages_ms: for `camera`: from a frame's arrival to its result.
        dropped: for `camera`: frames that were never looked at.
    """

    stages: dict[str, list[float]] = field(default_factory=dict)
    openings: list[list[float]] = field(default_factory=list)
    first_ms: float = 0.0
    warmup_queries: int = 0
    seconds: float = 0.0
    ages_ms: list[float] = field(default_factory=list)
    dropped: int = 0

    @property
    def queries(self) -> list[float]:
        """Milliseconds of each query, all stages together."""
        return [sum(values) for values in zip(*self.stages.values(), strict=True)]

    @property
    def count(self) -> int:
        """How many queries."""
        return len(next(iter(self.stages.values()), []))

    def extend(self, later: Samples) -> None:
        """Appends what was measured after opening the engine anew; the first query stays the first opening's."""
        for name, values in later.stages.items():
            self.stages.setdefault(name, []).extend(values)
        if not self.openings and not self.ages_ms:
            self.first_ms = later.first_ms
        self.openings += later.openings
        self.warmup_queries += later.warmup_queries
        self.seconds += later.seconds
        self.ages_ms += later.ages_ms
        self.dropped += later.dropped

    def add(self, stages: dict[str, float]) -> float:
        """Notes a query; returns its milliseconds."""
        for name, value in stages.items():
            self.stages.setdefault(name, []).append(value)
        return sum(stages.values())


def measure(
    pipelines: Sequence[Pipeline],
    scenario: Scenario,
    clock: Clock,
    *,
    progress: Callable[[float], None] = lambda _: None,
    measuring: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> list[Samples]:
    """Runs every pipeline through the scenario.

    Args:
        pipelines: what to measure; the first is the base of comparisons.
        scenario: how queries come.
        clock: what time is.
        progress: told the share that is done, 0 to 1.
        measuring: entered after warm-up, left when the last query is done.

    Returns:
        one `Samples` per pipeline.
    """
    found = [Samples() for _ in pipelines]
    for pipeline, samples in zip(pipelines, found, strict=True):
        _warm_up(pipeline, scenario, clock, samples)
    with measuring():
        if scenario.name == "camera":
            for index, (pipeline, samples) in enumerate(zip(pipelines, found, strict=True)):
                _camera(pipeline, scenario, clock, samples, lambda share, i=index: progress((i + share) / len(found)))  # type: ignore[misc]
        else:
            _in_turn(pipelines, scenario, clock, found, progress)
    return found


def _warm_up(pipeline: Pipeline, scenario: Scenario, clock: Clock, samples: Samples) -> None:
    start = clock.now()
    samples.first_ms = sum(pipeline.query(scenario.frames).values())
    samples.warmup_queries = 1
    while clock.now() - start < scenario.warmup_s:
        before = clock.now()
        pipeline.query(scenario.frames)
        samples.warmup_queries += 1
        if clock.now() == before:
            break  # a clock that does not move would warm up forever


def _in_turn(
    pipelines: Sequence[Pipeline],
    scenario: Scenario,
    clock: Clock,
    found: Sequence[Samples],
    progress: Callable[[float], None],
) -> None:
    start = clock.now()
    total = scenario.duration_s * len(pipelines)
    for samples in found:
        samples.openings.append([])
    forward = list(zip(pipelines, found, strict=True))
    turn = 0
    while min(samples.count for samples in found) < scenario.min_queries or (clock.now() - start < total):
        for pipeline, samples in forward if turn % 2 == 0 else forward[::-1]:
            _round(pipeline, scenario, clock, samples)
        turn += 1
        progress(min(1.0, (clock.now() - start) / total) if total else 1.0)
    for samples in found:
        samples.seconds = clock.now() - start


def _round(pipeline: Pipeline, scenario: Scenario, clock: Clock, samples: Samples) -> None:
    """Queries for ROUND_S, or one that is longer; their mean is the round's value."""
    spent, count = 0.0, 0
    while True:
        milliseconds = samples.add(pipeline.query(scenario.frames))
        spent, count = spent + milliseconds, count + 1
        clock.sleep(scenario.gap_ms / 1000)
        if spent >= 1000 * ROUND_S or milliseconds == 0:
            break
    samples.openings[-1].append(spent / count)


def _camera(
    pipeline: Pipeline, scenario: Scenario, clock: Clock, samples: Samples, progress: Callable[[float], None]
) -> None:
    """Frame i arrives at start + i / fps. When the engine is free it takes the newest frame that has arrived; those
    before it that it never took are dropped."""
    start = clock.now()
    frames = max(scenario.min_queries, round(scenario.duration_s * scenario.fps))
    last = -1
    while last < frames - 1:
        elapsed = clock.now() - start
        # The small amount keeps a frame that arrives this very moment from being missed by rounding.
        newest = math.floor(elapsed * scenario.fps + 1e-9)
        if newest >= frames:  # the camera was switched off before the engine was free again
            samples.dropped += frames - 1 - last
            break
        if newest <= last:
            clock.sleep((last + 1) / scenario.fps - elapsed)
            continue
        samples.dropped += newest - last - 1
        last = newest
        samples.add(pipeline.query(1))
        samples.ages_ms.append(1000 * (clock.now() - start - newest / scenario.fps))
        clock.sleep(scenario.gap_ms / 1000)
        progress((last + 1) / frames)
    # A camera that ran for n frames ran for n / fps seconds, also where the last result was there before their end.
    samples.seconds = max(clock.now() - start, frames / scenario.fps)
    progress(1.0)
