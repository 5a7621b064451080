"""A whole benchmark: engines opened, measured, reported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, nullcontext
from functools import partial
from typing import Any

from segface_edge.errors import UsageError

from .choice import Opener
from .clock import SystemClock
from .machine import Watch, environment
from .pipeline import Pipeline, Span
from .power import result
from .power.sampler import INTERVAL_S, Sampler
from .power.table import Sensors
from .report import Startup, report, row
from .scenarios import Samples, Scenario, measure

# Long enough for sensors that answer ten times a second.
IDLE_S = 2.0


def bench(
    openers: Mapping[str, Opener],
    photo: bytes,
    scenario: Scenario,
    *,
    span: Span = "frame",
    layers: Callable[[Pipeline], dict[str, Any]] | None = None,
    sensors: Sensors | None = None,
    interval_s: float = INTERVAL_S,
    idle_s: float = IDLE_S,
    progress: Callable[[float], None] = lambda _: None,
) -> dict[str, Any]:
    """Measures the engines in turn, in several openings.

    Args:
        openers: {name in the report: opens the engine}; the first is the base of comparisons.
        photo: the bytes of an image file.
        scenario: how queries come.
        span: what a query is made of, see `Pipeline`.
        layers: tells where an engine's time goes, for its row; called when all is measured.
        sensors: of the machine's power, where that is measured, too; then for one engine.
        interval_s: seconds between power samples.
        idle_s: seconds for which the machine's power is measured first, before an engine is opened.
        progress: told the share that is done, 0 to 1.

    Returns:
        the document that `report.schema.json` describes.

    Raises:
        UsageError: power of several engines.
    """
    if sensors is not None:
        check_power(len(openers))
    clock = SystemClock()
    sampler = None if sensors is None else Sampler(sensors, clock, interval_s=interval_s)
    found = {name: Samples() for name in openers}
    watch = Watch()
    if sampler is not None:
        with sampler.phase(result.IDLE):
            clock.sleep(idle_s)
    rows: list[dict[str, Any]] = []
    watched: dict[str, Any] = {}
    startups: dict[str, Startup] = {}
    for turn in range(scenario.openings):
        with ExitStack() as stack:
            # Who is opened, warmed up and measured first may find better memory or colder caches: it is not always the
            # same, so that between an even number of openings no place is better than another.
            order = list(openers)[:: 1 if turn % 2 == 0 else -1]
            pipelines: dict[str, Pipeline] = {}
            for name in order:
                engine, startup = openers[name]()
                stack.enter_context(engine)
                startups.setdefault(name, startup)
                pipelines[name] = Pipeline(engine, photo, span=span, clock=clock)
            later = measure(
                list(pipelines.values()),
                scenario.of_one_opening(),
                clock,
                progress=lambda share, turn=turn: progress((turn + share) / scenario.openings),  # type: ignore[misc]
                measuring=nullcontext if sampler is None else partial(sampler.phase, result.BUSY),
            )
            for name, samples in zip(order, later, strict=True):
                found[name].extend(samples)
            if turn == scenario.openings - 1:
                rows = [row(name, pipelines[name], scenario, found[name], startups[name]) for name in openers]
                watched = watch.stop()
                if layers is not None:
                    for one in rows:
                        one["layers"] = layers(pipelines[one["engine"]["name"]])
    photos = scenario.frames * sum(samples.count for samples in found.values())
    power = None if sampler is None else result.document(sampler, photos)
    return report(rows, list(found.values()), environment(), watched, power)


def check_power(engines: int) -> None:
    """Raises UsageError where the power of so many engines at once is asked for: they run in turn, in rounds shorter
    than a sensor's interval, so that no joule could be told to be one engine's."""
    if engines > 1:
        raise UsageError(
            "--power", f"cannot tell {engines} engines apart that are measured in turn", "measure one engine a run"
        )
