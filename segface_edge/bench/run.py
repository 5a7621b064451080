"""A whole benchmark: engines opened, measured, reported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from .choice import Choice, open_choice
from .clock import SystemClock
from .machine import Watch, environment
from .pipeline import Pipeline, Span
from .report import report, row
from .scenarios import Scenario, measure


def bench(
    choices: Sequence[Choice],
    photo: bytes,
    scenario: Scenario,
    *,
    span: Span = "frame",
    stack: ExitStack,
    progress: Callable[[float], None] = lambda _: None,
) -> dict[str, Any]:
    """Measures the engines in turn.

    Args:
        choices: from `parse_choice`; the first is the base of comparisons.
        photo: the bytes of an image file.
        scenario: how queries come.
        span: what a query is made of, see `Pipeline`.
        stack: closes the engines.
        progress: told the share that is done, 0 to 1.

    Returns:
        the document that `report.schema.json` describes.
    """
    clock = SystemClock()
    pipelines, startups = [], []
    for choice in choices:
        engine, startup = open_choice(choice)
        stack.enter_context(engine)
        pipelines.append(Pipeline(engine, photo, span=span, clock=clock))
        startups.append(startup)
    watch = Watch()
    found = measure(pipelines, scenario, clock, progress=progress)
    watched = watch.stop()
    rows = [
        row(choice.name, pipeline, scenario, samples, startup)
        for choice, pipeline, samples, startup in zip(choices, pipelines, found, startups, strict=True)
    ]
    return report(rows, found, environment(), watched)
