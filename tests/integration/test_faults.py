"""Writes that go wrong, by `tests/faults/walk.py`: here some of them; all of them take an hour and more."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def walk(root: Path, *options: str) -> str:
    """What the walk says, which finds nothing."""
    if shutil.which("cc") is None or sys.platform != "linux":
        pytest.skip("faults are put into a process by a library that a C compiler makes, on Linux")
    line = [sys.executable, str(root / "tests" / "faults" / "walk.py"), *options]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_fourth_write_of_parse_goes_wrong(root: Path) -> None:
    said = walk(root, "--command", "parse", "--every", "4")
    assert said.splitlines()[-1].endswith(" runs, 0 finds")
    points = int(said.split()[1])
    assert points >= 10  # a picture and a document: made, written, synchronised, renamed


@pytest.mark.slow
def test_some_writes_of_quick_commands_go_wrong(root: Path) -> None:
    quick = (
        "parse-folder",
        "parse-video",
        "label",
        "info",
        "bench",
        "suite",
        "download",
        "import",
        "build",
        "quantize",
    )
    options = [word for name in quick for word in ("--command", name)]
    assert walk(root, *options, "--every", "61").splitlines()[-1].endswith(" runs, 0 finds")
