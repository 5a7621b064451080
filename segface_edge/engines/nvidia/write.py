"""A plan that was built, written with its document beside it."""

from __future__ import annotations

from pathlib import Path

from segface_edge.engines.base import PLAN_SUFFIXES
from segface_edge.errors import UsageError
from segface_edge.files import check_place, whole_file, write_whole

from .build import Built
from .config import BuildConfig
from .plan import sidecar


def check_plan_place(path: Path) -> None:
    """Raises where a plan could not be written to `path`, before it is built."""
    if path.suffix.lower() not in PLAN_SUFFIXES:
        raise UsageError(path, "is no plan's name", f"name the output FILE{PLAN_SUFFIXES[0]}")
    check_place(path)
    check_place(sidecar(path))


def write_plan(path: Path, built: Built, config: BuildConfig | None = None) -> None:
    """Writes the plan and what it says of itself beside it, both or neither, and the timing cache.

    Raises:
        InputError: a file cannot be written.
    """
    # Both are on the disk before either takes its place. Whoever reads between the two sees that they do not match.
    with whole_file(path) as plan, whole_file(sidecar(path)) as document:
        plan.write_bytes(built.plan)
        document.write_text(built.info.to_json(), encoding="utf-8")
    if config and config.timing_cache and built.timing_cache:
        write_whole(config.timing_cache, built.timing_cache)
