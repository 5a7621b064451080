"""Whether fp16 files run faster on a CPU with some operators as islands of fp32: `python benchmarks/half.py`.

ONNX Runtime expands Softmax, HardSwish and HardSigmoid in half precision to several nodes, does not fuse GELU, and
joins fewer activations to convolutions. The bundled model in fp32, all in half precision, and with these operators in
fp32, in turn, one run each, so that other load on the machine falls on all alike; a file's time over fp32's is taken
turn by turn. Writes `results/precision/half.json` and the table in `docs/precision.md`.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import click
import numpy as np
import onnx

from segface_edge import zoo
from segface_edge.bench.machine import environment
from segface_edge.engines import Engine, open_engine
from segface_edge.evaluation.parity import compare
from segface_edge.evaluation.photos import bundled_faces
from segface_edge.export.config import ExportConfig
from segface_edge.export.constants import fold_batch_norm, plain_weights
from segface_edge.export.finish import set_metadata
from segface_edge.export.half import to_half
from segface_edge.export.pipeline import run_export
from segface_edge.files import write_whole
from segface_edge.spec import METADATA_KEY

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "precision" / "half.json"
DOCUMENT = ROOT / "docs" / "precision.md"
BEGIN, END = "<!-- table: made by `python benchmarks/half.py` -->", "<!-- end of the table of half.py -->"
HARD = frozenset({"HardSwish", "HardSigmoid"})
FIRST = "fp32"
# That labels are compared on.
FACES = 8


def gelu(model: onnx.ModelProto) -> set[str]:
    """Names of the nodes of every GELU: x / sqrt(2), erf, + 1, * x, * 0.5."""
    makers = {name: node for node in model.graph.node for name in node.output}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    found = set()
    for node in model.graph.node:
        if node.op_type == "Erf":
            found |= {makers[node.input[0]].name, node.name}
            for _ in range(3):
                (node,) = readers[node.output[0]]
                found.add(node.name)
    return found


def of_types(*kinds: str) -> Callable[[onnx.ModelProto], set[str]]:
    """Names of the nodes of these operators."""
    return lambda model: {node.name for node in model.graph.node if node.op_type in kinds}


ISLANDS: dict[str, Callable[[onnx.ModelProto], Collection[str]]] = {
    "all in half": lambda _: (),
    "Softmax": of_types("Softmax"),
    "GELU": gelu,
    "HardSwish, HardSigmoid": of_types(*HARD),
    "all four": lambda model: of_types("Softmax", *HARD)(model) | gelu(model),
}


@click.command()
@click.option("--sizes", default="128,384", show_default=True, help="Input sides.")
@click.option("--runs", default=40, show_default=True, help="Of each file.")
@click.option("--threads", default=2, show_default=True, help="Of a run.")
def main(sizes: str, runs: int, threads: int) -> None:
    """Export, measure, write."""
    found: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes.split(","):
            files = _files(int(size), Path(folder))
            found[size] = _measured(files, int(size), runs, threads)
    document = {"environment": environment(), "threads": threads, "runs": runs, "sizes": found}
    write_whole(RESULTS, (json.dumps(document, indent=1) + "\n").encode())
    table = "\n".join([BEGIN, *_table(found), END])
    before, rest = DOCUMENT.read_text(encoding="utf-8").split(BEGIN)
    write_whole(DOCUMENT, (before + table + rest.split(END)[1]).encode())
    click.echo(table)


def _files(size: int, folder: Path) -> dict[str, Path]:
    files = {name: folder / f"{index}-{size}.onnx" for index, name in enumerate([FIRST, *ISLANDS])}
    with open_engine(zoo.DEFAULT_MODEL) as bundled:
        released = bundled.spec.size
    if size == released:
        files[FIRST] = zoo.DEFAULT_MODEL
    else:
        run_export(ExportConfig(imgsz=size), files[FIRST])
    model = onnx.load(files[FIRST])
    entries = {entry.key: entry.value for entry in model.metadata_props}
    spec = json.loads(entries[METADATA_KEY]) | {"precision": "fp16"}
    plain_weights(model)
    fold_batch_norm(model)
    for name, islands in ISLANDS.items():
        half = to_half(model, islands(model))
        set_metadata(half, {METADATA_KEY: json.dumps(spec)})
        onnx.save(half, files[name])
    return files


def _measured(files: dict[str, Path], size: int, runs: int, threads: int) -> list[dict[str, Any]]:
    frames = bundled_faces(size)
    engines: dict[str, Engine] = {name: open_engine(path, threads=threads) for name, path in files.items()}
    times: dict[str, list[float]] = {name: [] for name in engines}
    for turn in range(-3, runs):
        frame = frames[turn % len(frames)][None]
        for name, engine in engines.items():
            start = perf_counter()
            engine.infer(frame)
            if turn >= 0:
                times[name].append(perf_counter() - start)
    click.echo({name: round(1000 * median(samples)) for name, samples in times.items()}, err=True)
    reports = compare(engines[FIRST], engines, frames[:: len(frames) // FACES], name=FIRST)
    rows = []
    for (name, engine), report in zip(engines.items(), reports, strict=True):
        ratios = np.array(times[name]) / np.array(times[FIRST])
        low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
        rows.append(
            {
                "name": name,
                "median_ms": 1000 * median(times[name]),
                "ratio": float(middle),
                "ratio_quartiles": [float(low), float(high)],
                "equal": report.equal,
                "failures": report.failures(),
                "file_bytes": files[name].stat().st_size,
                "samples_ms": [round(1000 * one, 3) for one in times[name]],
            }
        )
        engine.close()
    return rows


def _table(found: dict[str, list[dict[str, Any]]]) -> list[str]:
    sizes = list(found)
    head = [f"{one} at {size}" for size in sizes for one in ("ms", "of fp32's time (quartiles)", "labels as in fp32")]
    lines = ["| islands of fp32 | " + " | ".join(head) + " |", "|---" * (len(head) + 1) + "|"]
    for index, first in enumerate(found[sizes[0]]):
        cells = []
        for size in sizes:
            row = found[size][index]
            low, high = row["ratio_quartiles"]
            cells += [f"{row['median_ms']:.0f}", f"{row['ratio']:.2f} ({low:.2f} to {high:.2f})", f"{row['equal']:.3%}"]
        name = "(the fp32 file)" if first["name"] == FIRST else first["name"]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


if __name__ == "__main__":
    main()
