"""Memory that was freed, given back to the system from time to time.

glibc gives back what lies at its heap's end. What is freed between blocks in use it keeps, for blocks that fit, and
photos of ever other sizes leave ever more of it, in each of the heaps that it makes for threads: `benchmarks/soak.py`
saw 27 to 75 MB in half an hour, while what is in use stayed as it was.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable

# glibc's malloc.h.
_M_ARENA_MAX = -8


class GiveBack:
    """Called after each piece of work; now and then it gives memory back. Threads may share it.

    Args:
        trim: gives back; None: nothing is done.
        every: seconds between two times, at least.
        times: so many times as long as it took, at least: the share of time that it may take.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        trim: Callable[[], object] | None,
        *,
        every: float,
        times: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._trim, self._every, self._times, self._clock = trim, every, times, clock
        self._due = clock() + every

    def __call__(self) -> None:
        """Gives back, where it is time."""
        if self._trim is None or (start := self._clock()) < self._due:
            return
        self._due = start + self._every  # another thread need not
        self._trim()
        now = self._clock()
        self._due = now + max(self._every, self._times * (now - start))


def malloc_trim() -> Callable[[], object] | None:
    """glibc's function, with its argument; None where the C library is another one."""
    trim = _of_glibc("malloc_trim")
    return None if trim is None else lambda: trim(0)


def one_heap() -> bool:
    """Has all threads of this process share glibc's heap: for a process that is ours and runs for long.

    To be called before there are threads. As MALLOC_ARENA_MAX=1 in the environment.

    Returns:
        Whether they do now; False where the C library is another one.
    """
    mallopt = _of_glibc("mallopt")
    return mallopt is not None and bool(mallopt(_M_ARENA_MAX, 1))


def _of_glibc(name: str) -> Callable[..., int] | None:
    try:
        found: Callable[..., int] = getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):
        return None
    return found


# After a photo: 3 to 5 ms, a thousandth of the time at most. After a model was closed: its opening has left more.
after_work = GiveBack(malloc_trim(), every=10.0, times=1000.0)
after_close = GiveBack(malloc_trim(), every=1.0, times=100.0)
