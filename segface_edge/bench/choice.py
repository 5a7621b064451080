"""`model.onnx@threads=1,device=cuda`: an engine and its options in one word."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter

from segface_edge.engines import Engine, import_engine, open_engine
from segface_edge.errors import UsageError
from segface_edge.parsing.pretrained import file_of

from .report import Startup

_KEYS = ("threads", "device", "engine", "spec")


@dataclass(frozen=True)
class Choice:
    """An engine to measure.

    Attributes:
        name: as the user wrote it.
        file: the model file.
        options: `threads`, `device`, `engine`, `spec`, as `open_engine` takes them.
    """

    name: str
    file: str
    options: dict[str, str | int]


def parse_choice(text: str, *, device: str, threads: int | None, spec: Path | None = None) -> Choice:
    """Reads `FILE` or `FILE@key=value,…`; `device`, `threads` and `spec` hold where the word does not say.

    Raises:
        UsageError: an unknown key, or a value that is none.
    """
    file, at, tail = text.rpartition("@")
    if not at or Path(text).exists():  # a path may hold an @ itself
        file, tail = text, ""
    options: dict[str, str | int] = {"device": device}
    if threads is not None:
        options["threads"] = threads
    if spec is not None:
        options["spec"] = str(spec)
    for part in filter(None, tail.split(",")):
        key, equals, value = part.partition("=")
        if key not in _KEYS or not equals or not value:
            raise UsageError(
                f"--engine {text}", f"has the unknown option '{part}'", f"use {', '.join(_KEYS)} as key=value"
            )
        if key == "threads" and not value.isdecimal():
            raise UsageError(f"--engine {text}", f"threads is '{value}'", "give a whole number")
        options[key] = int(value) if key == "threads" else value
    return Choice(text, str(file_of(file)), options)


Opener = Callable[[], tuple[Engine, Startup]]


def openers(words: Sequence[str], *, device: str, threads: int | None, spec: Path | None = None) -> dict[str, Opener]:
    """What `run.bench` takes, from words such as `model.onnx@threads=1`; the same word twice is named apart."""
    found: dict[str, Opener] = {}
    for word in words:
        name, count = word, 1
        while name in found:
            count += 1
            name = f"{word} ({count})"
        found[name] = partial(open_choice, parse_choice(word, device=device, threads=threads, spec=spec))
    return found


def open_choice(choice: Choice) -> tuple[Engine, Startup]:
    """Opens it, timing the import of its runtime (once a process) apart from the session's creation."""
    kind = choice.options.get("engine")
    before = set(sys.modules)
    start = perf_counter()
    import_engine(choice.file, str(kind) if kind else None)
    imported = perf_counter()
    fresh = bool(set(sys.modules) - before)
    engine = open_engine(choice.file, **choice.options)  # type: ignore[arg-type]
    opened = perf_counter()
    return engine, Startup(import_ms=1000 * (imported - start) if fresh else None, open_ms=1000 * (opened - imported))
