"""The bundled model: reference and deploy graph and PyTorch, 1 and 2 threads, 1 and 4 photos a query.

`python benchmarks/bundled.py` writes `results/<device>/bundled-*.json`; then `make results`.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

import click

from segface_edge import zoo
from segface_edge.bench.choice import openers
from segface_edge.bench.machine import device_name, environment
from segface_edge.bench.report import text
from segface_edge.bench.run import bench
from segface_edge.bench.scenarios import Scenario
from segface_edge.export.config import ExportConfig
from segface_edge.export.pipeline import run_export
from segface_edge.files import write_whole

RESULTS = Path(__file__).resolve().parent / "results"
OPENINGS = 10
ENGINES = ("reference.onnx", "deploy.onnx", "checkpoint.safetensors")


@click.command()
@click.option("--duration", default=15.0, show_default=True, help="Seconds per engine and table.")
def main(duration: float) -> None:
    """Export, measure, write."""
    folder = RESULTS / device_name(environment())
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)  # so that reports name files, not this machine's folders
        run_export(ExportConfig(graph="reference", dynamic=True), Path("reference.onnx"))
        run_export(ExportConfig(dynamic=True), Path("deploy.onnx"))
        shutil.copy(zoo.RELEASED["mobilenet"], "checkpoint.safetensors")
        for threads in (1, 2):
            for frames in (1, 4):
                scenario = Scenario(
                    name="single-stream" if frames == 1 else "offline",
                    frames=frames,
                    duration_s=duration,
                    openings=OPENINGS,
                )
                named = openers(ENGINES, device="cpu", threads=threads)
                document = bench(named, zoo.PORTRAIT.read_bytes(), scenario)
                click.echo(text(document))
                target = folder / f"bundled-threads{threads}-frames{frames}.json"
                write_whole(target, (json.dumps(document) + "\n").encode())
        os.chdir(RESULTS)


if __name__ == "__main__":
    main()
