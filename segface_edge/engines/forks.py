"""Engines in a forked child, which inherits all of them but their threads: nobody may run or free one there."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet

from segface_edge.errors import UsageError
from segface_edge.memory import after_close

# Opened by this process or one that it was forked from; and those of the latter.
_open: WeakSet[object] = WeakSet()
_inherited: WeakSet[object] = WeakSet()
# What the latter hold. A session that is freed waits for its threads, in a child without end.
_held: list[dict[str, object]] = []


class Closing(Protocol):
    """What is closed."""

    def close(self) -> None:
        """Frees what it holds."""


def opened(engine: object) -> None:
    """Remembers an engine, in case that this process is forked."""
    _open.add(engine)


def refuse_inherited(engine: object, source: str) -> None:
    """Raises UsageError where the engine, of this file, was opened before this process was forked."""
    if engine in _inherited:
        raise UsageError(
            source,
            "was opened before this process was forked, and its threads stayed behind",
            "make parsers after the fork, or start processes by spawn: docs/threads.md",
        )


def close(engine: Closing) -> None:
    """Frees an engine of this process; one that was inherited stays as it is."""
    if engine not in _inherited:
        engine.close()
        after_close()


def _in_child() -> None:
    for engine in _open:
        if engine not in _inherited:
            _inherited.add(engine)
            _held.append(dict(vars(engine)))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
