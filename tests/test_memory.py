"""Memory is given back now and then: not more often than it is worth."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from segface_edge import FaceParser, zoo
from segface_edge.memory import GiveBack, keep_small, malloc_trim

Calls = Callable[[str], list[None]]


class Machine:
    """Its time, and what giving back takes of it."""

    def __init__(self, takes: float) -> None:
        self.now, self.takes, self.trims = 0.0, takes, 0

    def trim(self) -> None:
        self.now += self.takes
        self.trims += 1


EVERY, TIMES = 10.0, 1000.0


@pytest.mark.parametrize(("takes", "apart"), [(0.004, EVERY), (0.5, 0.5 * TIMES)])
def test_it_takes_a_thousandth_of_the_time_at_most(takes: float, apart: float) -> None:
    machine = Machine(takes)
    give_back = GiveBack(every=EVERY, times=TIMES, clock=lambda: machine.now)
    give_back.trim = machine.trim
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


def test_nothing_is_given_back_where_nobody_asked_for_it() -> None:
    GiveBack(every=0.0, times=0.0, clock=iter([0.0]).__next__)()


def test_without_glibc_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segface_edge.memory.ctypes.CDLL", lambda _: object())
    assert not keep_small()


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


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is Linux's")
def test_threads_share_one_heap_where_that_is_asked_for() -> None:
    if malloc_trim() is None:
        pytest.skip("the C library is not glibc")
    # What a heap of a thread's own is: 64 MiB of addresses, of which most may not be touched.
    program = """
import sys, threading
from pathlib import Path
from segface_edge.memory import keep_small

if sys.argv[1] == "one":
    assert keep_small()
barrier, kept = threading.Barrier(8), []

def allocate():
    kept.append([bytes(50_000) for _ in range(100)])
    barrier.wait(60)

threads = [threading.Thread(target=allocate) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
ends = [line.split()[0].split("-") for line in Path("/proc/self/maps").read_text().splitlines() if "---p" in line]
print(sum(2**25 < int(last, 16) - int(first, 16) < 2**26 for first, last in ends))
"""
    bare = {name: value for name, value in os.environ.items() if name not in ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES")}

    def heaps(how: str, **environment: str) -> int:
        line = [sys.executable, "-c", program, how]
        ran = subprocess.run(line, env=bare | environment, capture_output=True, text=True, check=True, timeout=120)
        return int(ran.stdout)

    assert heaps("one") == 0
    assert heaps("many") > 0
    assert heaps("one", MALLOC_ARENA_MAX="64") > 0  # who says it otherwise is heard
    assert heaps("one", GLIBC_TUNABLES="glibc.malloc.arena_max=64") > 0


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Counts the calls of what a module has by a name."""

    def counted(place: str) -> list[None]:
        found: list[None] = []
        monkeypatch.setattr(f"segface_edge.{place}", lambda: found.append(None))
        return found

    return counted


def test_memory_is_given_back_after_each_photo_and_each_parser(calls: Calls) -> None:
    photos, parsers = calls("parsing.stages.after_work"), calls("parsing.parser.after_close")
    with FaceParser() as parser:
        parser(zoo.ASTRONAUT)
        assert len(photos) == 1
        list(parser.stream([zoo.ASTRONAUT, zoo.ASTRONAUT]))
        assert (len(photos), len(parsers)) == (3, 0)
    assert len(parsers) == 1


@pytest.mark.parametrize(
    ("module", "command"),
    [
        ("parse", ("parse", zoo.ASTRONAUT, "-o", "overlay.png")),
        ("bulk", ("label", zoo.ASTRONAUT, "-o", "labels")),
        ("serve", ("serve", "--host", "256.0.0.1")),  # nowhere: it ends at once
    ],
)
def test_commands_that_run_for_long_keep_small(
    module: str,
    command: tuple[object, ...],
    calls: Calls,
    cli: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if module == "bulk":
        pytest.importorskip("pyarrow", reason="label needs pyarrow")
    if module == "serve":
        pytest.importorskip("starlette", reason="serve needs starlette")
    monkeypatch.chdir(tmp_path)
    kept = calls(f"cli.{module}.keep_small")
    cli(*command)
    assert len(kept) == 1
