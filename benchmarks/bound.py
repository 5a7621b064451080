"""Whether the bound of `segface-edge estimate` is one: measured times over it, on the machine that this runs on.

    python benchmarks/bound.py            about 20 minutes, on a machine that does nothing else

With one thread and with two:

- This machine's own peaks: the quickest of several large products in ONNX Runtime, in fp32 and in int8, and the
  quickest of streams through more memory than its caches hold; before and after all else, the larger counts. They stand
  for a device's published peaks.
- Graphs, each in its own session: the quickest call and the median, over the bound of the same graph. A ratio below 1
  would say that the bound is none, or that the peaks were measured too low: the script then ends with exit code 1.

Writes `bound.json` and `bound.png` to `results/bound/`, and the table in `docs/estimate.md`. With `--out` they go
elsewhere, and the document stays as it is.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
from family import declare_unused
from onnx import version_converter

from segface_edge import zoo
from segface_edge.bench.bound import bound
from segface_edge.bench.devices import measured
from segface_edge.bench.machine import Watch, environment
from segface_edge.engines import open_engine
from segface_edge.engines.ort.engine import OrtEngine
from segface_edge.evaluation.photos import bundled_faces
from segface_edge.export.config import INT8_OPSETS, ExportConfig
from segface_edge.export.constants import fold_batch_norm, plain_weights
from segface_edge.export.int8 import quantise
from segface_edge.export.peaks import PRODUCTS, calls, machine_peaks
from segface_edge.export.pipeline import run_export
from segface_edge.export.quantize import serialised
from segface_edge.export.ranges import calibrate, layers
from segface_edge.export.work import file_work
from segface_edge.files import write_whole
from segface_edge.plots.bound import bound_figure
from segface_edge.plots.figure import save_figure

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "bound"
DOCUMENT = HERE.parent / "docs" / "estimate.md"
BEGIN, END = "<!-- table: made by `python benchmarks/bound.py` -->", "<!-- end of the table -->"
THREADS = (1, 2)
# Beside those that `bench --profile` takes, a larger one.
LARGEST = (2048, 2048, 2048)


@click.command(help=__doc__)
@click.option("--duration", default=20.0, show_default=True, help="Seconds per graph and number of threads.")
@click.option("--peak-duration", default=6.0, show_default=True, help="Seconds for a type's products, and for streams.")
@click.option("--random-row", default="convnext_tiny", show_default=True, help="A backbone with random weights.")
@click.option("--out", default=RESULTS, type=click.Path(path_type=Path, file_okay=False), help="Folder to write to.")
def main(duration: float, peak_duration: float, random_row: str, out: Path) -> None:
    """Export, measure, write, draw."""
    out = out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    watch = Watch()
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        files = _files(random_row)
        found = {str(threads): _measured(files, threads, duration, peak_duration) for threads in THREADS}
        os.chdir(HERE)
    content = {"environment": {**environment(), "during": watch.stop()}, "threads": found}
    write_whole(out / "bound.json", (json.dumps(content, indent=1) + "\n").encode())
    titles = {threads: "1 thread" if threads == "1" else f"{threads} threads" for threads in found}
    panels = {
        titles[threads]: [(name, row["bound_ms"], row["least_ms"]) for name, row in one["graphs"].items()]
        for threads, one in found.items()
    }
    save_figure(bound_figure(panels), out / "bound.png")
    table = "\n".join(_table(found))
    click.echo(table)
    if out == RESULTS:
        before, rest = DOCUMENT.read_text(encoding="utf-8").split(BEGIN)
        picture = "![Measured times and their bounds](../benchmarks/results/bound/bound.png)"
        block = "\n".join([BEGIN, *_peaks_told(content), "", table, "", picture, END])
        write_whole(DOCUMENT, (before + block + rest.split(END)[1]).encode())
    below = [
        f"{name}, {titles[threads]}: {row['least_over_bound']:.3f}"
        for threads, one in found.items()
        for name, row in one["graphs"].items()
        if row["least_over_bound"] < 1
    ]
    click.echo(f"below their bound: {'; '.join(below)}" if below else "no graph is quicker than its bound")
    sys.exit(1 if below else 0)


def _files(random_row: str) -> dict[str, Path]:
    """{name: file}."""
    declare_unused()
    default = zoo.DEFAULT_BACKBONE
    exports = {
        f"{default} 192": ExportConfig(backbone=default, imgsz=192),
        f"{default} 320": ExportConfig(backbone=default, imgsz=320),
        f"{default} 512": ExportConfig(backbone=default, imgsz=512),
        f"{default} 320, plain export": ExportConfig(backbone=default, imgsz=320, graph="reference"),
        "mobilenet 384": ExportConfig(backbone="mobilenet", imgsz=384),
        "mobilenet 384, plain export": ExportConfig(backbone="mobilenet", imgsz=384, graph="reference"),
        f"{random_row} 256, random weights": ExportConfig(backbone=random_row, imgsz=256, random_weights=True),
    }
    files = {"bundled model": zoo.DEFAULT_MODEL}
    for place, (name, config) in enumerate(exports.items()):
        files[name] = Path(f"{place}.onnx")
        run_export(config, files[name])
        click.echo(f"exported {name}", err=True)
    files[f"{default} 320, int8"] = _int8(files[f"{default} 320"], Path("int8.onnx"))
    return files


def _int8(source: Path, path: Path) -> Path:
    """Every convolution in int8, the rest in fp32: for its time only, so without the checks of `quantize`."""
    with OrtEngine(source) as engine:
        spec = engine.spec
    model = onnx.load(source)
    if model.opset_import[0].version < INT8_OPSETS.start:
        model = version_converter.convert_version(model, INT8_OPSETS.start)
    plain_weights(model)
    fold_batch_norm(model)
    ranges = calibrate(model, bundled_faces(spec.size)[::8], "minmax")
    model = quantise(model, [node.name for node in layers(model)], ranges)
    path.write_bytes(serialised(model, replace(spec, precision="int8"), None, []))
    return path


def _measured(files: Mapping[str, Path], threads: int, duration: float, peak_duration: float) -> dict[str, Any]:
    measure = partial(machine_peaks, threads, seconds=peak_duration, products=(LARGEST, *PRODUCTS))
    before = measure()
    times = {name: _times(path, threads, duration) for name, path in files.items()}
    after = measure()
    rates = {name: max(rate, after.rates[name]) for name, rate in before.rates.items()}
    bandwidth = max(before.bandwidth, after.bandwidth)
    here = measured(rates, bandwidth, before.cache)
    graphs = {}
    for name, path in files.items():
        work = file_work(path)
        lowest = bound(here, work.operations, work.traffic)
        milliseconds = 1000 * lowest.seconds
        graphs[name] = {
            "operations": work.operations,
            "operations_written": work.written,
            "traffic_bytes": work.traffic,
            "bound_ms": milliseconds,
            "arithmetic_ms": 1000 * lowest.arithmetic,
            "memory_ms": 1000 * lowest.memory,
            **times[name],
            "least_over_bound": times[name]["least_ms"] / milliseconds,
            "median_over_bound": times[name]["median_ms"] / milliseconds,
        }
        click.echo(f"{threads} threads, {name}: {json.dumps(graphs[name])}", err=True)
    told = {
        "peaks": {**rates, "bandwidth": bandwidth},
        "peaks_before": {**before.rates, "bandwidth": before.bandwidth},
        "peaks_after": {**after.rates, "bandwidth": after.bandwidth},
    }
    return {**told, "cache_bytes": before.cache, "graphs": graphs}


def _times(path: Path, threads: int, duration: float) -> dict[str, Any]:
    with open_engine(path, threads=threads) as engine:
        frame = np.stack(bundled_faces(engine.spec.size)[:1])
        taken = list(calls(lambda: engine.infer(frame), duration))
    return {"least_ms": 1000 * min(taken), "median_ms": 1000 * float(np.median(taken)), "calls": len(taken)}


def _peaks_told(content: Mapping[str, Any]) -> list[str]:
    lines = [f"{content['environment']['cpu']}, ONNX Runtime {content['environment']['packages']['onnxruntime']}:", ""]
    for threads, one in content["threads"].items():
        peaks = one["peaks"]
        lines.append(
            f"- threads: {threads}; peaks measured: {peaks['fp32'] / 1e9:.0f} G operations a second in fp32, "
            f"{peaks['int8'] / 1e9:.0f} in int8, {peaks['bandwidth'] / 1e9:.1f} GB/s"
        )
    return lines


def _table(found: Mapping[str, Any]) -> list[str]:
    counts = list(found)
    head = ["graph", "operations, G"]
    head += [f"{text}, threads: {threads}" for threads in counts for text in ("bound, ms", "quickest, ms", "ratio")]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name in found[counts[0]]["graphs"]:
        rows = [found[threads]["graphs"][name] for threads in counts]
        cells = [name, f"{sum(rows[0]['operations'].values()) / 1e9:.2f}"]
        for row in rows:
            cells += [f"{row['bound_ms']:.1f}", f"{row['least_ms']:.1f}", f"{row['least_over_bound']:.2f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


if __name__ == "__main__":
    main()
