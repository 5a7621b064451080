"""A whole benchmark: engines opened, measured, reported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from .choice import Opener
from .clock import SystemClock
from .machine import Watch, environment
from .pipeline import Pipeline, Span
from .report import Startup, report, row
from .scenarios import Samples, Scenario, measure


def bench(
    openers: Mapping[str, Opener],
    photo: bytes,
    scenario: Scenario,
    *,
    span: Span = "frame",
    layers: Callable[[Pipeline], dict[str, Any]] | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> dict[str, Any]:
    """Measures the engines in turn, in several openings.

    Args:
        openers: {name in the report: opens the engine}; the first is the base of comparisons.
        photo: the bytes of an image file.
        scenario: how queries come.
        span: what a query is made of, see `Pipeline`.
        layers: tells where an engine's time goes, for its row; called when all is measured.
        progress: told the share that is done, 0 to 1.

    Returns:
        the document that `report.schema.json` describes.
    """
    clock = SystemClock()
    found = {name: Samples() for name in openers}
    watch = Watch()
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
            )
            for name, samples in zip(order, later, strict=True):
                found[name].extend(samples)
            if turn == scenario.openings - 1:
                rows = [row(name, pipelines[name], scenario, found[name], startups[name]) for name in openers]
                watched = watch.stop()
                if layers is not None:
                    for one in rows:
                        one["layers"] = layers(pipelines[one["engine"]["name"]])
    return report(rows, list(found.values()), environment(), watched)
