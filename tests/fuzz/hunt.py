"""Runs a kind in child processes, each going on behind the input that ended the one before."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.child import ROOT

# Nothing takes so long on a processor of its own; nor waits so long, also where others have the processor; nor does a
# child take so long to start (PyTorch's import, models).
HANG_S, WAIT_S, START_S = 10.0, 60.0, 240.0
# Inputs of a child: what one leaves behind does not go on for ever.
_TURN = 200_000
# So many children that end at once end the hunt: something is wrong with the kind itself.
_MOST_CRASHES = 40
_MEMORY = "/dev/shm"


@dataclass
class Find:
    """What went wrong, for the first input that did it.

    Attributes:
        index: of that input.
        detail: a traceback, or what was said.
        count: inputs that did it.
    """

    index: int
    detail: str
    count: int = 1


@dataclass
class Tally:
    """What came of a kind."""

    inputs: int = 0
    seconds: float = 0.0
    finds: dict[str, Find] = field(default_factory=dict)

    def add(self, what: str, index: int, detail: str) -> None:
        if what in self.finds:
            self.finds[what].count += 1
        else:
            self.finds[what] = Find(index, detail)


def hunt(
    name: str,
    *,
    seed: int,
    seconds: float | None,
    inputs: int | None,
    first: int = 0,
    say: Callable[[str], None] = lambda _: None,
) -> Tally:
    """Runs so many inputs of a kind, or as many as there are in a time."""
    tally = Tally()
    # Each child begins anew on the kind's time: its start does not count.
    left_s = seconds
    index, last = first, first + inputs if inputs is not None else 2**62
    crashes = 0
    while index < last and (left_s is None or left_s > 0):
        with tempfile.TemporaryDirectory(dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None) as folder:
            end = min(last, index + _TURN)
            after, ran_s, cause = _child(name, seed, index, end, Path(folder), left_s)
            for line in _lines(Path(folder) / "finds"):
                tally.add(str(line["what"]), int(str(line["index"])), str(line["detail"]))
            if cause:
                detail = _text(Path(folder) / "crash") + _text(Path(folder) / "noise")
                tally.add(cause, after, detail)
                say(f"{name} {after}: {cause}")
                crashes += 1
                after += 1
        tally.inputs += after - index
        tally.seconds += ran_s
        index = after
        if left_s is not None:
            left_s -= ran_s
        if crashes >= _MOST_CRASHES:
            say(f"{name}: given up after {crashes} crashes")
            break
    return tally


def _child(
    name: str, seed: int, first: int, end: int, folder: Path, seconds: float | None
) -> tuple[int, float, str | None]:
    """Runs inputs `first` to `end`; the index that comes next or ended it, its seconds, and how it ended."""
    at = folder / "at"
    at.write_bytes(struct.pack("<qq", first, 0))
    command = [
        sys.executable,
        str(ROOT / "tests" / "fuzz" / "child.py"),
        name,
        str(seed),
        str(first),
        str(end - first),
        str(folder),
    ]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "SEGFACE_EDGE_CACHE": str(folder / "cache"),
        "TMPDIR": str(folder),
    }
    with (folder / "said").open("wb") as said:
        child = subprocess.Popen(command, stdout=said, stderr=said, env=environment)
    begun, moved, running = time.monotonic(), time.monotonic(), None
    index, spent = first, 0.0
    try:
        while child.poll() is None:
            time.sleep(0.02)
            now = time.monotonic()
            place, started = struct.unpack("<qq", at.read_bytes())
            if started and running is None:
                running = moved = now
                spent = _seconds_of(child.pid)
            if place != index:
                index, moved, spent = place, now, _seconds_of(child.pid)
            if running is None and now - begun > START_S:
                child.kill()
                raise RuntimeError(f"{name} does not start: {_text(folder / 'said')[-2000:]}")
            stays = running is not None and now - moved > HANG_S
            if stays and (now - moved > WAIT_S or _seconds_of(child.pid) - spent > HANG_S):
                child.send_signal(signal.SIGABRT)  # faulthandler says where it is
                child.wait(10)
                return index, now - (running or begun), f"hang (over {HANG_S:g} s)"
            if running is not None and seconds is not None and now - running > seconds:
                child.kill()
                child.wait()
                return struct.unpack("<qq", at.read_bytes())[0], now - running, None
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
    index, _ = struct.unpack("<qq", at.read_bytes())
    if running is None and child.returncode:
        raise RuntimeError(f"{name} does not start: {_text(folder / 'said')[-3000:]}")
    ran = time.monotonic() - (running or begun)
    return index, ran, None if child.returncode == 0 else f"crash ({_ending(child.returncode)})"


def _seconds_of(pid: int) -> float:
    """That a process has computed for."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _ending(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in _text(path).splitlines() if line.endswith("}")]


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
