"""Engines in a forked child, which inherits all of them but their threads: nobody may run or free one there."""

from __future__ import annotations

import os
from weakref import WeakSet

from segface_edge.errors import UsageError

# Opened by this process or one that it was forked from; and those of the latter.
_open: WeakSet[object] = WeakSet()
_inherited: WeakSet[object] = WeakSet()
# What the latter hold. A session that is freed waits for its threads, in a child without end.
_held: list[dict[str, object]] = []


def opened(engine: object) -> None:
    """Remembers an engine, in case that this process is forked."""
    _open.add(engine)


def is_inherited(engine: object) -> bool:
    """Whether the engine was opened before this process was forked."""
    return engine in _inherited


def refuse_inherited(engine: object, source: str) -> None:
    """Raises UsageError where the engine, of this file, was opened before this process was forked."""
    if is_inherited(engine):
        raise UsageError(
            source,
            "was opened before this process was forked, and its threads stayed behind",
            "make parsers after the fork, or start processes by spawn: docs/threads.md",
        )


def _in_child() -> None:
    for engine in _open:
        if engine not in _inherited:
            _inherited.add(engine)
            _held.append(dict(vars(engine)))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
