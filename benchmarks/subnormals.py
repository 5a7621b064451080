"""What numbers below 1.2e-38 cost a CPU in released models: each as the product runs it, which takes them for zero, and
as ONNX Runtime runs it by itself, in turn.

    python benchmarks/subnormals.py [FILE.onnx …] [--rounds 60]

Prints medians, their ratio, and how many pixels get another label (none may).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import click
import numpy as np

from segface_edge import zoo
from segface_edge.engines.ort import engine as engine_module
from segface_edge.engines.ort import session as session_module
from segface_edge.engines.ort.engine import OrtEngine
from segface_edge.engines.ort.subnormals import SUPPORTED, flushed
from segface_edge.pictures import fitting, reading

WARM = 8


@click.command(help=__doc__)
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--rounds", default=60, show_default=True, help="Runs of each, in turn.")
def main(files: tuple[Path, ...], rounds: int) -> None:
    """Measure and print."""
    if not SUPPORTED:
        raise click.ClickException("a thread's mode cannot be set here: Linux with glibc on x86-64 is needed")
    for path in files or (zoo.DEFAULT_MODEL,):
        for threads in (1, 2):
            plain, zero, other = _race(path, threads, rounds)
            click.echo(
                f"{path.name}, {threads} thread(s): {plain:.1f} ms by itself, {zero:.1f} ms with them as zero: "
                f"{zero / plain:.3f}; {other} labels differ"
            )


def _race(path: Path, threads: int, rounds: int) -> tuple[float, float, int]:
    modes: tuple[Callable[[], Any], ...] = (nullcontext, flushed)
    engines = []
    for mode in modes:
        session_module.flushed, session_module.SUPPORTED = mode, mode is flushed
        engines.append(OrtEngine(path, threads=threads))
    frame = fitting.fit(reading.load(zoo.PORTRAIT), engines[0].spec.size).pixels[None]
    times: list[list[float]] = [[], []]
    labels = []
    for _ in range(WARM + rounds):
        labels = []
        for mode, engine, found in zip(modes, engines, times, strict=True):
            engine_module.flushed = mode
            start = perf_counter()
            labels.append(engine.infer(frame).labels)
            found.append(1000 * (perf_counter() - start))
    plain, zero = (median(found[WARM:]) for found in times)
    return plain, zero, int(np.count_nonzero(labels[0] != labels[1]))


if __name__ == "__main__":
    main()
