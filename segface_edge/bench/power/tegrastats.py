"""A Jetson's rails as `tegrastats` prints them: for where sysfs does not show the monitors, in a container for example.

`VDD_IN 4952mW/4952mW`: the first figure is the rail's power at that moment, the further ones are means and maxima since
the tool was started. JetPack 4 leaves out the unit; JetPack 7 prints one, two or three figures.
"""

from __future__ import annotations

import os
import re
import select
import subprocess
from pathlib import Path

from .jetson import counted
from .reader import Absent, Rail, Reader

NAME = "tegrastats"
TOOL = "usr/bin/tegrastats"
# For the first line; the tool needs a moment to start.
PATIENCE_S = 5.0
# What is not a rail has no unit and one figure (`APE 150`) or another unit (`RAM 3276/7859MB`).
_RAIL = re.compile(r"(?<!\S)([A-Z0-9][A-Z0-9_]*) (-?\d+)(?:mW(?:/-?\d+mW)*|/-?\d+)(?=\s|$)")


def parse(text: str) -> dict[str, float]:
    """Watts by rail of one line of tegrastats; empty where it has no rails."""
    return {name: int(milliwatts) / 1000 for name, milliwatts in _RAIL.findall(text)}


class Tegrastats(Reader):
    """A running tegrastats.

    Args:
        tool: the program.
        interval_s: seconds between its lines.
        patience_s: seconds to wait for the first line.

    Raises:
        Absent: it does not start, prints no rails, or which of them are the total is not known.
    """

    whole = True

    def __init__(self, tool: Path, interval_s: float, patience_s: float = PATIENCE_S) -> None:
        try:
            self._process = subprocess.Popen(
                [str(tool), "--interval", str(max(1, round(1000 * interval_s)))],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            raise Absent(NAME, f"{tool}: {(error.strerror or str(error)).lower()}") from error
        assert self._process.stdout is not None
        self._out = self._process.stdout.fileno()
        os.set_blocking(self._out, False)
        self._rest = b""
        try:
            first = self._first(patience_s)
            if not first:
                raise Absent(NAME, f"{tool}: prints no power of any rail")
            total = counted(NAME, first)
        except Absent:
            self.close()
            raise
        self.rails = [Rail(name=name, sensor=NAME, counted=name in total) for name in first]

    def sample(self) -> list[float | None]:
        """Watts of each rail of the newest line; None where there was no new one since the last sample: a tool that
        has died must not go on giving its last figure."""
        found = self._newest()
        return [found.get(rail.name) for rail in self.rails]

    def close(self) -> None:
        """Ends the tool."""
        self._process.terminate()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _first(self, patience_s: float) -> dict[str, float]:
        while select.select([self._out], [], [], patience_s)[0]:
            before = len(self._rest)
            if found := self._newest():
                return found
            if len(self._rest) == before:
                break  # it has ended
        return {}

    def _newest(self) -> dict[str, float]:
        """The rails of the last whole line that has come, empty where none has."""
        try:
            while part := os.read(self._out, 65536):
                self._rest += part
        except BlockingIOError:
            pass
        lines, newline, rest = self._rest.rpartition(b"\n")
        if not newline:
            return {}
        self._rest = rest
        return parse(lines.rpartition(b"\n")[2].decode(errors="replace"))


def open_tegrastats(root: Path, interval_s: float) -> Tegrastats:
    """tegrastats below `root`.

    Raises:
        Absent: there is none, or what `Tegrastats` says.
    """
    tool = root / TOOL
    if not tool.exists():
        raise Absent(NAME, f"no such file: {tool}")
    return Tegrastats(tool, interval_s)
