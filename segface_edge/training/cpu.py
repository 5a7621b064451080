"""How a process that trains on a CPU is set up: what costs it more than the arithmetic that it is there for."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_TOP_PAD = 256 * 2**20


@contextmanager
def subnormals_flushed() -> Iterator[None]:
    """Numbers below 1.2e-38 count as 0 inside, where the CPU can do that.

    A pixel that the network is sure of has a gradient of next to nothing, and products of two such are subnormal: an
    x86 core takes a hundred times as long for each. Threads take the setting over from the one that starts them: the
    first product of many should come after this.
    """
    before = bool((torch.tensor([1e-39]) * 1).eq(0))
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def keep_memory() -> bool:
    """Has the C library keep the memory that is freed, for the next large tensor, as long as the process lives.

    glibc gives the memory of a large tensor back to the system and asks for it again a moment later, page by page.
    Does nothing where the C library is another one.

    Returns:
        Whether it does now.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # no such function; a system without a C library of that kind
        return False
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, -1), (_M_TOP_PAD, _TOP_PAD))
    return bool(sum(mallopt(name, value) for name, value in settings) == len(settings))
