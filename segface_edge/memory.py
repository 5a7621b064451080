"""Memory that was freed, given back to the system from time to time.

glibc gives back what lies at its heap's end. What is freed between blocks in use it keeps, for blocks that fit, and
photos of ever other sizes leave ever more of it: `benchmarks/soak.py` saw 27 to 75 MB in half an hour, while what is in
use stayed as it was.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable

# Seconds between two times, and so many times as long as it took: a thousandth of the time at most.
EVERY, TIMES = 10.0, 1000.0


class GiveBack:
    """Called after each piece of work; now and then it gives memory back. Threads may share it.

    Args:
        trim: gives back; None: nothing is done.
        clock: seconds, monotonic.
    """

    def __init__(self, trim: Callable[[], object] | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._trim, self._clock = trim, clock
        self._due = clock() + EVERY

    def __call__(self) -> None:
        """Gives back, where it is time."""
        if self._trim is None or (start := self._clock()) < self._due:
            return
        self._due = start + EVERY  # another thread need not
        self._trim()
        now = self._clock()
        self._due = now + max(EVERY, TIMES * (now - start))


def malloc_trim() -> Callable[[], object] | None:
    """glibc's function, with its argument; None where the C library is another one."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None
    return lambda: trim(0)


give_back = GiveBack(malloc_trim())
