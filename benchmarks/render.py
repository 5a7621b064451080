"""Writes RESULTS.md from results/: `make results`."""

from __future__ import annotations

from pathlib import Path

from segface_edge.bench.results import render
from segface_edge.files import write_whole

HERE = Path(__file__).parent

if __name__ == "__main__":
    write_whole(HERE / "RESULTS.md", render(HERE / "results").encode())
