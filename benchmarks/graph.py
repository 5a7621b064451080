"""The graphs of the released weights side by side: PyTorch, the reference export, the deploy graph in each precision,
in ONNX Runtime and in OpenVINO: `python benchmarks/graph.py --calib-data DIR`.

Speed, all in turn: `results/<device>/graph-*.json`, then `make results`. Multiplications, bytes, file sizes, peak
memory and the share of the products in each file's time: `results/graph/`, with a picture.

The reference export ends in logits; an ArgMax is put behind it, so that all give label ids.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

from segface_edge import zoo
from segface_edge.bench.choice import Opener, openers
from segface_edge.bench.machine import device_name, environment
from segface_edge.bench.report import Startup, all_rows, text
from segface_edge.bench.run import bench
from segface_edge.bench.scenarios import Scenario
from segface_edge.engines import open_engine
from segface_edge.engines.base import Engine
from segface_edge.engines.ort.engine import OrtEngine
from segface_edge.export.config import ExportConfig
from segface_edge.export.cost import PRODUCTS, macs_by_type, node_costs
from segface_edge.export.finish import set_metadata
from segface_edge.export.pipeline import run_export
from segface_edge.export.quantize import QuantizeConfig, run_quantize
from segface_edge.files import write_whole
from segface_edge.spec import METADATA_KEY, ModelSpec

RESULTS = Path(__file__).resolve().parent / "results"
PLOT = RESULTS / "graph" / "speed.png"
BASE = "reference"
TORCH = "PyTorch eager"
OPENINGS = 6
PROFILED_RUNS = 8
CALL = "a call"


@click.command()
@click.option("--calib-data", required=True, type=click.Path(path_type=Path, exists=True), help="Photos for int8.")
@click.option("--sizes", default="256,512", show_default=True, help="Input sides.")
@click.option("--batches", default="1,4", show_default=True, help="Photos a query.")
@click.option("--duration", default=6.0, show_default=True, help="Seconds per engine and table.")
def main(calib_data: Path, sizes: str, batches: str, duration: float) -> None:
    """Export, measure, write, draw."""
    folder = RESULTS / device_name(environment())
    folder.mkdir(parents=True, exist_ok=True)
    PLOT.parent.mkdir(parents=True, exist_ok=True)
    calib_data = calib_data.resolve()
    tables: dict[str, dict[str, Any]] = {}
    costs: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)  # so that reports name files, not this machine's folders
        shutil.copy(zoo.RELEASED["mobilenet"], "checkpoint.safetensors")
        for size in map(int, sizes.split(",")):
            files = _files(size, calib_data)
            costs[str(size)] = [_cost(name, path) for name, path in files.items()]
            for threads in (1, 2):
                for frames in map(int, batches.split(",")):
                    name = f"graph-size{size}-threads{threads}-frames{frames}"
                    document = bench(
                        _openers(files, size, threads),
                        zoo.PORTRAIT.read_bytes(),
                        Scenario(
                            name="single-stream" if frames == 1 else "offline",
                            frames=frames,
                            duration_s=duration,
                            openings=OPENINGS,
                        ),
                        span="engine",
                    )
                    click.echo(f"{name}\n{text(document)}")
                    write_whole(folder / f"{name}.json", (json.dumps(document) + "\n").encode())
                    tables[name] = document
        os.chdir(RESULTS)
    content = {"environment": environment(), "sizes": costs}
    write_whole(PLOT.with_name("costs.json"), (json.dumps(content, indent=1) + "\n").encode())
    _draw(tables)


def _files(size: int, calib_data: Path) -> dict[str, Path]:
    """The files of one size, for any number of photos."""
    files = {name: Path(f"{name}-{size}.onnx") for name in (BASE, "deploy", "deploy-fp16", "deploy-int8")}
    shared = {"imgsz": size, "dynamic": True}
    plain = Path(f"plain-{size}.onnx")
    run_export(ExportConfig(graph="reference", **shared), plain)  # type: ignore[arg-type]
    with_argmax(plain, files[BASE])
    run_export(ExportConfig(**shared), files["deploy"])  # type: ignore[arg-type]
    run_quantize(files["deploy"], QuantizeConfig(precision="fp16"), files["deploy-fp16"])
    run_quantize(files["deploy"], QuantizeConfig(precision="int8", calib_data=calib_data), files["deploy-int8"])
    return files


def with_argmax(source: Path, target: Path) -> None:
    """A file that ends in logits, with label ids at its end."""
    model = onnx.load(source)
    spec = json.loads(next(entry.value for entry in model.metadata_props if entry.key == METADATA_KEY))
    graph = model.graph
    graph.node.append(helper.make_node("ArgMax", ["logits"], ["ids"], axis=1, keepdims=0))
    graph.node.append(helper.make_node("Cast", ["ids"], ["labels"], to=TensorProto.UINT8))
    side = spec["size"]
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("labels", TensorProto.UINT8, ["N", side, side]))
    spec["outputs"] = ["labels"]
    set_metadata(model, {METADATA_KEY: ModelSpec.from_json(json.dumps(spec), source=source).to_json()})
    onnx.save(model, target)


def _openers(files: Mapping[str, Path], size: int, threads: int) -> dict[str, Opener]:
    found: dict[str, Opener] = {}
    for name, path in files.items():
        (found[name],) = openers([str(path)], device="cpu", threads=threads).values()
    found[TORCH] = partial(_open, partial(_torch, size, threads))
    try:
        import openvino  # noqa: F401
    except ImportError:
        click.echo("OpenVINO is not installed: its rows are left out (the extra openvino)", err=True)
    else:
        for name in (BASE, "deploy"):
            found[f"{name}, OpenVINO"] = partial(
                _open, partial(open_engine, files[name], engine="openvino", threads=threads)
            )
    return found


def _open(make: Any) -> tuple[Engine, Startup]:
    start = perf_counter()
    engine = make()
    return engine, Startup(import_ms=None, open_ms=1000 * (perf_counter() - start))


def _torch(size: int, threads: int) -> Engine:
    from segface_edge.network.engine import TorchEngine

    return TorchEngine(Path("checkpoint.safetensors"), size=size, threads=threads)


def _cost(name: str, path: Path) -> dict[str, Any]:
    """What a file costs besides time, and where its time goes."""
    model = onnx.load(path)
    nodes = node_costs(model)
    with OrtEngine(path) as engine:
        # What other precisions compute in, a CPU decides.
        kernels = _kernels(path, engine.spec) if engine.spec.precision == "fp32" else None
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        peak = pool.apply(peak_mb, (path,))
    document = {
        "graph": name,
        "file_mb": path.stat().st_size / 1e6,
        "gmac": sum(cost.macs for cost in nodes) / 1e9,
        "gmac_by_type": {kind: count / 1e9 for kind, count in macs_by_type(model).items()},
        "traffic_mb": sum(cost.bytes for cost in nodes) / 1e6,
        "peak_memory_mb": peak,
        "time_over_products": kernels and _over_products(kernels),
        "kernels_ms": kernels,
    }
    click.echo(json.dumps(document))
    return document


def peak_mb(path: Path) -> float:
    """Megabytes that opening a file and running one photo a call took at most, in a process of its own."""
    start = most_resident_mb()
    with open_engine(path, threads=2) as engine:
        frame = np.zeros((1, engine.spec.size, engine.spec.size, 3), np.uint8)
        for _ in range(3):
            engine.infer(frame)
    return most_resident_mb() - start


def most_resident_mb() -> float:
    """Of this process. Linux's getrusage would give the parent's where that was larger."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) * 1024 / 1e6


def _kernels(path: Path, spec: ModelSpec) -> dict[str, float]:
    """{kind of operator: milliseconds of a call}, those that take the most first; ONNX Runtime, fp32, 2 threads."""
    options = ort.SessionOptions()
    options.enable_profiling, options.intra_op_num_threads = True, 2
    options.profile_file_prefix = "profile"
    options.log_severity_level = 4
    session = ort.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    shape = (1, spec.size, spec.size, 3) if spec.graph == "deploy" else (1, 3, spec.size, spec.size)
    frame = np.zeros(shape, np.uint8 if spec.graph == "deploy" else np.float32)
    for _ in range(PROFILED_RUNS):
        session.run(None, {session.get_inputs()[0].name: frame})
    events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    found: Counter[str] = Counter()
    for event in events:
        if event["name"].endswith("_kernel_time"):
            found[event["args"]["op_name"]] += event["dur"] / 1000 / PROFILED_RUNS
        elif event["name"] == "model_run":
            found[CALL] += event["dur"] / 1000 / PROFILED_RUNS
    return dict(found.most_common())


def _over_products(kernels: Mapping[str, float]) -> float:
    """A call's time over that of its convolutions and matrix products."""
    products = sum(
        ms for kernel, ms in kernels.items() if any(product.lower() in kernel.lower() for product in PRODUCTS)
    )
    return kernels[CALL] / products


def _draw(tables: Mapping[str, dict[str, Any]]) -> None:
    """One panel a table: milliseconds of each engine, and how many times as fast as the reference export it is."""
    from matplotlib.figure import Figure

    columns = 2
    rows = -(-len(tables) // columns)
    figure = Figure(figsize=(13, 3.2 * rows), layout="constrained")
    for place, document in enumerate(tables.values(), 1):
        axes = figure.add_subplot(rows, columns, place)
        found = all_rows(document)
        names = [row["engine"]["name"] for row in found]
        _bars(axes, names, [row["latency_ms"]["p50"] for row in found], document["comparisons"])
        scenario = document["scenario"]
        axes.set_title(
            f"{document['engine']['size']} x {document['engine']['size']}, {scenario['frames']} a call, "
            f"{document['engine']['threads']} thread(s)"
        )
    figure.suptitle(f"Frames in to labels out, median: {next(iter(tables.values()))['environment']['cpu']}")
    from segface_edge.plots.figure import save_figure

    save_figure(figure, PLOT)


def _bars(
    axes: Any, names: Sequence[str], milliseconds: Sequence[float], comparisons: Sequence[dict[str, Any]]
) -> None:
    ratios = [1.0, *(comparison["latency_ratio"] for comparison in comparisons)]
    names = [name.removesuffix(".onnx") for name in names]
    colours = ["#bbbbbb" if BASE in name or name == TORCH else "#4477aa" for name in names]
    places = range(len(names))
    axes.barh(places, milliseconds, color=colours)
    for place, value, ratio in zip(places, milliseconds, ratios, strict=True):
        axes.text(value, place, f" {value:.0f} ms, {1 / ratio:.2f} x", va="center")
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.35 * max(milliseconds))
    axes.set_xlabel("ms")


if __name__ == "__main__":
    main()
