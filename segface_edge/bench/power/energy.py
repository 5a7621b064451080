"""Joules of a rail: power samples by the trapezoid rule, counters by their differences.

Nothing is made up: over a longer time without samples, a rail's power is not known, and the time is told instead.
"""

from __future__ import annotations

from .reader import Rail

# So many intervals without a sample are a gap.
GAP_INTERVALS = 5
# No socket or GPU takes more: a counter cannot have gone round more than once in wraps_at / MOST_WATTS seconds.
MOST_WATTS = 1000.0


class Energy:
    """Adds up one rail.

    Args:
        rail: whose values `add` is given.
        interval_s: seconds between samples, as intended.

    Attributes:
        joules: so far.
        seconds: that they were measured in.
        gap_s: seconds over which nothing is known.
        gaps: how many there were.
    """

    def __init__(self, rail: Rail, interval_s: float) -> None:
        self._rail = rail
        self._longest = GAP_INTERVALS * interval_s
        self._last: tuple[float, float] | None = None
        self.joules = 0.0
        self.seconds = 0.0
        self.gap_s = 0.0
        self.gaps = 0

    def add(self, now: float, value: float | None) -> float | None:
        """Takes a sample.

        Args:
            now: when, in seconds.
            value: watts, or a counter's joules; None where it could not be read.

        Returns:
            mean watts since the last sample; None where they are not known.
        """
        if value is None:
            return None
        last, self._last = self._last, (now, value)
        if last is None or now <= last[0]:
            return None
        elapsed = now - last[0]
        joules = (
            self._counted(elapsed, value - last[1]) if self._rail.counter else self._sampled(elapsed, last[1], value)
        )
        if joules is None:
            self.gap_s += elapsed
            self.gaps += 1
            return None
        self.joules += joules
        self.seconds += elapsed
        return joules / elapsed

    def cut(self, now: float) -> None:
        """What comes next does not follow on what came last: nothing is measured in between. Time since the last
        sample is a gap where it is long enough to be one."""
        if self._last is not None and now - self._last[0] > self._longest:
            self.gap_s += now - self._last[0]
            self.gaps += 1
        self._last = None

    @property
    def watts(self) -> float | None:
        """Mean over the seconds that were measured; None where there are none."""
        return self.joules / self.seconds if self.seconds > 0 else None

    def _sampled(self, elapsed: float, first: float, second: float) -> float | None:
        return elapsed * (first + second) / 2 if elapsed <= self._longest else None

    def _counted(self, elapsed: float, difference: float) -> float | None:
        """A counter runs on while nobody looks, so its difference holds over a gap; but only as long as it cannot have
        gone round unseen."""
        limit = self._rail.wraps_at
        if limit is None:
            return difference if difference >= 0 else None  # it began anew, as when a driver is loaded
        if elapsed > limit / MOST_WATTS:
            return None
        return difference if difference >= 0 else difference + limit
