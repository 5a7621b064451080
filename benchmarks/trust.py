"""Whether the benchmark can be trusted on this machine: `python benchmarks/trust.py`.

Two experiments, each a known truth:

- the same file against itself: the 95 % interval of the ratio should hold 1 in about 19 of 20 trials;
- the same file made slower by a busy-wait of a tenth of its latency: it should be found slower.

What the harness itself costs: `harness.py`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import click

from segface_edge import zoo
from segface_edge.bench.report import Startup, machine_lines
from segface_edge.bench.run import bench
from segface_edge.bench.scenarios import Scenario
from segface_edge.engines import Engine
from segface_edge.engines.base import Output
from segface_edge.engines.ort.engine import OrtEngine
from segface_edge.pictures.geometry import UInt8Array


class Slowed(OrtEngine):
    """A model, followed by a busy-wait."""

    wait_s = 0.0

    def run(self, frames: UInt8Array) -> Output:
        output = super().run(frames)
        end = perf_counter() + self.wait_s
        while perf_counter() < end:
            pass
        return output


@click.command()
@click.option("--trials", default=20, show_default=True)
@click.option("--duration", default=5.0, show_default=True, help="Seconds per engine and trial.")
@click.option("--model", type=click.Path(path_type=Path), default=zoo.DEFAULT_MODEL)
def main(trials: int, duration: float, model: Path) -> None:
    """Run both."""
    scenario = Scenario(duration_s=duration, openings=10)
    photo = zoo.PORTRAIT.read_bytes()
    document: dict[str, Any] = {}
    for name, slower_by in (("the same file twice", 0.0), ("one slower by a tenth", 0.1)):
        comparisons = []
        for _ in range(trials):
            wait_s = slower_by * document["latency_ms"]["p50"] / 1000 if slower_by else 0.0
            engines = {"base": partial(_open, model, 0.0), "other": partial(_open, model, wait_s)}
            document = bench(engines, photo, scenario)
            comparisons += document["comparisons"]
        held = sum(found["verdict"] == "no difference shown" for found in comparisons)
        slower = sum(found["verdict"] == "slower" for found in comparisons)
        print(f"{name}: interval holds 1 in {held} of {trials}, found slower in {slower} of {trials}")
        print("  " + " ".join(f"{c['latency_ratio']:.3f}[{c['ci95'][0]:.3f},{c['ci95'][1]:.3f}]" for c in comparisons))
    print(f"median latency {document['latency_ms']['p50']:.1f} ms")
    print("\n".join(machine_lines(document["environment"])))


def _open(model: Path, wait_s: float) -> tuple[Engine, Startup]:
    engine = Slowed(model)
    engine.wait_s = wait_s
    return engine, Startup(import_ms=None, open_ms=0.0)


if __name__ == "__main__":
    main()
