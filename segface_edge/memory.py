"""Memory of a process that parses for long: what was freed goes back to the system, and threads share a heap.

glibc gives back what lies at a heap's end. What is freed between blocks in use it keeps, for blocks that fit, and
photos of ever other sizes leave ever more of it, in each of the heaps that it makes for threads: `benchmarks/soak.py`
saw a process grow for half an hour, while what was in use stayed as it was.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable

# glibc's malloc.h: setting -> what says the same in the environment, by itself and in GLIBC_TUNABLES, and the value.
# Blocks of 1 MB, a model's and photos', are the system's own, which takes them back at once: left to itself, glibc
# moves that bound to 32 MB. At 4 MB photos of ever other sizes left ever more holes in the heap.
_SETTINGS = {
    -8: ("MALLOC_ARENA_MAX", "glibc.malloc.arena_max", 1),
    -3: ("MALLOC_MMAP_THRESHOLD_", "glibc.malloc.mmap_threshold", 2**20),
    -1: ("MALLOC_TRIM_THRESHOLD_", "glibc.malloc.trim_threshold", 8 * 2**20),
}


class GiveBack:
    """Called after each piece of work; now and then it gives memory back. Threads may share it.

    Args:
        every: seconds between two times, at least.
        times: so many times as long as it took, at least: the share of time that it may take.
        clock: seconds, monotonic.

    Attributes:
        trim: gives back; None: nothing is done.
    """

    def __init__(self, *, every: float, times: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.trim: Callable[[], object] | None = None
        self._every, self._times, self._clock = every, times, clock
        self._due = clock() + every

    def __call__(self) -> None:
        """Gives back, where it is time."""
        if self.trim is None or (start := self._clock()) < self._due:
            return
        self._due = start + self._every  # another thread need not
        self.trim()
        now = self._clock()
        self._due = now + max(self._every, self._times * (now - start))


# After a photo: milliseconds, half a hundredth of the time at most. Between two times what is free is touched again,
# the more holes there are the more of it: at every ten seconds a server's memory rose with them. After a model was
# closed: its opening has left more.
after_work = GiveBack(every=2.0, times=200.0)
after_close = GiveBack(every=1.0, times=100.0)


def keep_small() -> bool:
    """Keeps this process small: for one whose work is to parse, as of `parse`, `serve` and `label`.

    A heap for all threads, large blocks outside of it, where the environment (`MALLOC_ARENA_MAX`,
    `MALLOC_MMAP_THRESHOLD_`, `MALLOC_TRIM_THRESHOLD_`, `GLIBC_TUNABLES`) does not say otherwise; and memory that
    parsers have freed is given back now and then, for which all other threads wait that ask for memory. To be called
    early: heaps that threads have already stay.

    Returns:
        Whether the C library is glibc, the only one that this is for.
    """
    trim, mallopt = malloc_trim(), _of_glibc("mallopt")
    if trim is None or mallopt is None:
        return False
    tuned = os.environ.get("GLIBC_TUNABLES", "")
    for setting, (name, tunable, value) in _SETTINGS.items():
        if name not in os.environ and f"{tunable}=" not in tuned:
            mallopt(setting, value)
    after_work.trim = after_close.trim = trim
    return True


def malloc_trim() -> Callable[[], object] | None:
    """glibc's function, with its argument; None where the C library is another one."""
    trim = _of_glibc("malloc_trim")
    return None if trim is None else lambda: trim(0)


def _of_glibc(name: str) -> Callable[..., int] | None:
    try:
        found: Callable[..., int] = getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):
        return None
    return found
