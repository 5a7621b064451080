"""Engines in a forked child, which inherits all of them but their threads: nobody may run or free one there."""

from __future__ import annotations

import os
from weakref import WeakValueDictionary

from segface_edge.errors import UsageError

_PROCESS = "_made_in_process"
# By their ids: an engine may be unhashable, or equal to another.
_engines: WeakValueDictionary[int, object] = WeakValueDictionary()
# What inherited ones hold. A session that is freed waits for its threads, in a child without end.
_held: list[dict[str, object]] = []


def made(engine: object) -> None:
    """Remembers in which process an engine was made; a copy of it takes that along."""
    vars(engine)[_PROCESS] = os.getpid()
    _engines[id(engine)] = engine


def is_inherited(engine: object) -> bool:
    """Whether the engine was made before this process was forked."""
    process = getattr(engine, _PROCESS, None)
    return process is not None and process != os.getpid()


def refuse_inherited(engine: object, source: str) -> None:
    """Raises UsageError where the engine, of this file, was made before this process was forked."""
    if is_inherited(engine):
        raise UsageError(
            source,
            "was opened before this process was forked, and its threads stayed behind",
            "make parsers after the fork, or start processes by spawn: docs/threads.md",
        )


def _in_child() -> None:
    _held.extend(dict(vars(engine)) for engine in list(_engines.values()))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
