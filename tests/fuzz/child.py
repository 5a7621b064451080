"""Kinds in a process of their own: a crash ends it, and not the hunt. `python child.py KIND,… SEED FIRST COUNT FOLDER`.

Which input is being run stands in FOLDER/at, finds in FOLDER/finds as lines of JSON.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import mmap
import os
import resource
import struct
import sys
import traceback
import warnings
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

# Of the package's own: what an input may raise the peak of memory by, and what a process may have beyond its start.
JUMP = 400 * 2**20
ROOM = 3 * 2**30
_LONGEST_LINE = 3100
_LEAK = 64


def random_of(kind: str, seed: int, index: int) -> Random:
    """Every input has its own, so that it can be made again alone."""
    return Random(f"{seed} {kind} {index}")


def problem_of(error: BaseException) -> str | None:
    """What is wrong with an error that the package raised; None where it is as it should be."""
    from segface_edge.errors import SegFaceEdgeError

    if not isinstance(error, SegFaceEdgeError):
        return "traceback"
    line = str(error)
    if len(line.splitlines()) != 1 or not error.cure:
        return "not one line"
    if not line.isprintable():
        return "a line that cannot be printed"
    return f"a line of {len(line)} characters" if len(line) > _LONGEST_LINE else None


def where(error: BaseException) -> str:
    """The error's kind, and the package's line that it came through last."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if f"{os.sep}segface_edge{os.sep}" in frame.filename] or frames
    last = ours[-1] if ours else None
    place = (
        f"{Path(last.filename).relative_to(ROOT)}:{last.lineno}"
        if last and ROOT in Path(last.filename).parents
        else "?"
    )
    return f"{type(error).__name__} at {place}"


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _handles() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class Child:
    """What a process finds.

    Args:
        folder: for everything that it leaves.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with (folder / "at").open("r+b") as file:
            self._at = mmap.mmap(file.fileno(), 16)
        self._finds = (folder / "finds").open("a")
        self._noise = os.open(folder / "noise", os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)

    def run(self, name: str, seed: int, first: int, count: int) -> None:
        """Runs so many inputs of a kind."""
        from tests.fuzz.table import KINDS

        work = self._folder / "work" / name
        work.mkdir(parents=True)
        os.chdir(work)
        fuzz = KINDS[name].prepare(work)
        # What is made when it is first used is no leak of an input's.
        for warm in range(3):
            with suppress(Exception):
                fuzz.run(fuzz.make(random_of(name, -1, warm)))
        os.dup2(self._noise, 2)
        os.ftruncate(2, 0)
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + ROOM, resource.getrlimit(resource.RLIMIT_AS)[1]))
        handles, before = _handles(), _peak()
        for index in range(first, first + count):
            self._at[:] = struct.pack("<qq", index, 1)
            given: Any = fuzz.make(random_of(name, seed, index))
            try:
                fuzz.run(given)
            except Exception as error:
                problem = problem_of(error)
                if problem:
                    trace = "".join(traceback.format_exception(error))
                    self._found(name, index, f"{problem}: {where(error)}", trace)
            now = _peak()
            if now - before > JUMP:
                self._found(name, index, "memory", f"{(now - before) >> 20} MiB")
            before = now
            if os.fstat(2).st_size:
                said = (self._folder / "noise").read_text(errors="replace")
                self._found(name, index, f"standard error: {' '.join(said.split())[:60]}", said)
                os.ftruncate(2, 0)
            if index % 500 == 499 and (held := _handles()) > handles + _LEAK:
                self._found(name, index, "handles", f"{handles} before, {held} now")
                handles = held
        self._at[:] = struct.pack("<qq", first + count, 1)

    def _found(self, name: str, index: int, what: str, detail: str) -> None:
        line = {"kind": name, "index": index, "what": what, "detail": detail[-4000:]}
        self._finds.write(json.dumps(line) + "\n")
        self._finds.flush()


def main() -> None:
    names, (seed, first, count), folder = sys.argv[1].split(","), map(int, sys.argv[2:5]), Path(sys.argv[5])
    logging.getLogger("segface_edge").addHandler(logging.NullHandler())
    warnings.simplefilter("ignore")
    faulthandler.enable((folder / "crash").open("w"))
    child = Child(folder)
    for name in names:
        child.run(name, seed, first, count)
    os._exit(0)  # threads that still wait for something hold nobody up


if __name__ == "__main__":
    main()
