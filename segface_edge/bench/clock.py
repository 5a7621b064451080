"""Time as a benchmark sees it, so that tests can inject their own."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Monotonic time in seconds."""

    def now(self) -> float:
        """Seconds since some fixed moment."""

    def sleep(self, seconds: float) -> None:
        """Waits; returns at once where `seconds` is not positive."""


class SystemClock:
    """The machine's monotonic clock."""

    def now(self) -> float:
        """`time.perf_counter`."""
        return time.perf_counter()

    def sleep(self, seconds: float) -> None:
        """`time.sleep`."""
        if seconds > 0:
            time.sleep(seconds)


class ManualClock:
    """A clock that only moves when it is told to: `sleep` takes no time and moves it."""

    def __init__(self, start: float = 0.0) -> None:
        self._now = start

    def now(self) -> float:
        """The time that `sleep` has brought it to."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Moves the clock forward."""
        self._now += max(seconds, 0.0)
