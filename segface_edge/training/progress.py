"""How a training tells what it does: lines and bars, and the ones that say nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

# Takes a line.
Say = Callable[[str], None]
# Makes a progress bar of a length and a label; what it gives is told of every advance.
Bar = Callable[[int, str], AbstractContextManager[Callable[[int], None]]]


def say_nothing(_line: str) -> None:
    """A `Say` for those who do not listen."""


def no_bar(_length: int, _label: str) -> AbstractContextManager[Callable[[int], None]]:
    """A `Bar` for those who do not look."""
    return nullcontext(lambda _: None)
