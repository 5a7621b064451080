"""Engines to measure, from words such as `model.onnx@threads=1,device=cuda`: opened, and that timed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter

from segface_edge.engines import Engine, import_engine, open_engine
from segface_edge.parsing.choice import Choice, parse_choice

from .report import Startup

Opener = Callable[[], tuple[Engine, Startup]]


def openers(words: Sequence[str], *, device: str, threads: int | None, spec: Path | None = None) -> dict[str, Opener]:
    """What `run.bench` takes, from words such as `model.onnx@threads=1`; the same word twice is named apart."""
    found: dict[str, Opener] = {}
    for word in words:
        name, count = word, 1
        while name in found:
            count += 1
            name = f"{word} ({count})"
        choice = parse_choice(word)
        options = choice.options(device=device, threads=threads, spec=spec)
        found[name] = partial(open_choice, replace(choice, said=options))
    return found


def open_choice(choice: Choice) -> tuple[Engine, Startup]:
    """Opens it, timing the import of its runtime (once a process) apart from the session's creation."""
    before = set(sys.modules)
    start = perf_counter()
    import_engine(choice.file, choice.engine)
    imported = perf_counter()
    fresh = bool(set(sys.modules) - before)
    engine = open_engine(choice.file, **choice.options())
    opened = perf_counter()
    return engine, Startup(import_ms=1000 * (imported - start) if fresh else None, open_ms=1000 * (opened - imported))
