"""Memory is given back now and then: not more often than it is worth."""

from __future__ import annotations

import os
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from segface_edge.memory import EVERY, TIMES, GiveBack, malloc_trim


class Machine:
    """Its time, and what giving back takes of it."""

    def __init__(self, takes: float) -> None:
        self.now, self.takes, self.trims = 0.0, takes, 0

    def trim(self) -> None:
        self.now += self.takes
        self.trims += 1


@pytest.mark.parametrize(("takes", "apart"), [(0.004, EVERY), (0.5, 0.5 * TIMES)])
def test_it_takes_a_thousandth_of_the_time_at_most(takes: float, apart: float) -> None:
    machine = Machine(takes)
    give_back = GiveBack(machine.trim, lambda: machine.now)
    at = []
    while machine.now < 3 * apart + EVERY:
        before = machine.trims
        give_back()
        if machine.trims > before:
            at.append(machine.now)
        machine.now += 0.25
    assert at[0] >= EVERY
    assert all(later - earlier >= apart for earlier, later in pairwise(at))
    assert len(at) >= 3
    assert machine.trims * takes <= machine.now / TIMES + takes


def test_without_glibc_nothing_happens() -> None:
    GiveBack(None, iter([0.0]).__next__)()


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is Linux's")
def test_freed_memory_is_the_systems_again() -> None:
    trim = malloc_trim()
    if trim is None:
        pytest.skip("the C library is not glibc")

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    blocks = [bytes(60_000) for _ in range(2_000)]  # below what glibc maps by itself, so of its heap
    pinned = blocks[::50]
    blocks.clear()
    before = resident()
    trim()
    assert before - resident() > 50_000_000
    assert len(pinned) == 40
