"""Speed and accuracy of the models side by side: those that are released, the one that was bundled before them, the
default as a plain export, and a BiSeNet (ResNet-18, 512) with random weights, which is what many users run.

    python benchmarks/front.py --before FILE.onnx --data DIR … [--calib-data DIR]

- Whole frames, one photo a call, with two threads and with one, all in turn; peak memory, each in its own process.
- F1 by `segface-edge eval`'s protocol paper, at each model's own size, on the photos of all `--data` together.

Writes `results/front/front.json` and `front.png`, F1 over milliseconds.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import onnx
import torch
from bisenet import BiSeNet
from graph import peak_mb, with_argmax

from segface_edge import zoo
from segface_edge.bench.choice import openers
from segface_edge.bench.machine import environment
from segface_edge.bench.report import all_rows, text
from segface_edge.bench.run import bench
from segface_edge.bench.scenarios import Scenario
from segface_edge.datasets.opening import folder
from segface_edge.datasets.samples import Sample
from segface_edge.engines import open_engine
from segface_edge.evaluation.evaluate import evaluate
from segface_edge.export.config import ExportConfig
from segface_edge.export.finish import set_metadata
from segface_edge.export.pipeline import run_export
from segface_edge.export.quantize import QuantizeConfig, run_quantize
from segface_edge.export.to_onnx import trace
from segface_edge.files import write_whole
from segface_edge.labels import RARE_PARTS, label_set
from segface_edge.plots.figure import save_figure
from segface_edge.plots.scores import front_figure
from segface_edge.spec import METADATA_KEY, ModelSpec

RESULTS = Path(__file__).resolve().parent / "results" / "front"
ORDER = label_set("celebamask-hq")
BEFORE, PEER, PLAIN = "before", "bisenet-resnet18-512", "plain-export"
THREADS = (2, 1)
OPENINGS = 6
# Mean F1 of the same weights in another file.
SAME = 1e-5


@click.command(help=__doc__)
@click.option("--before", required=True, type=click.Path(path_type=Path, exists=True), help="The file bundled before.")
@click.option("--data", "roots", multiple=True, type=click.Path(path_type=Path, exists=True), help="images/, labels/.")
@click.option("--calib-data", type=click.Path(path_type=Path, exists=True), help="Photos for int8; else no int8.")
@click.option("--duration", default=12.0, show_default=True, help="Seconds per engine and number of threads.")
def main(before: Path, roots: tuple[Path, ...], calib_data: Path | None, duration: float) -> None:
    """Export, measure, write, draw."""
    before, roots = before.resolve(), tuple(root.resolve() for root in roots)
    calib_data = calib_data and calib_data.resolve()
    data = [sample for root in roots for sample in folder(root)]
    RESULTS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)  # so that reports name files, not this machine's folders
        files = _files(before, calib_data)
        models = {name: {"peak_memory_mb": _peak(path)} for name, path in files.items()}
        for name, path in files.items():
            if data and name not in (PEER, PLAIN):
                models[name].update(_scores(path, data))
                click.echo(f"{name}: {json.dumps(models[name])}")
        for threads in THREADS:
            named = {
                name: openers([str(path)], device="cpu", threads=threads)[str(path)] for name, path in files.items()
            }
            document = bench(named, zoo.PORTRAIT.read_bytes(), Scenario(duration_s=duration, openings=OPENINGS))
            click.echo(text(document))
            for row, comparison in zip(all_rows(document), [None, *document["comparisons"]], strict=True):
                models[row["engine"]["name"]][f"threads_{threads}"] = {
                    "ms": row["latency_ms"]["p50"],
                    "of_before": 1.0 if comparison is None else comparison["latency_ratio"],
                }
        os.chdir(RESULTS)
    content = {"environment": environment(), "photos": len(data), "models": models}
    write_whole(RESULTS / "front.json", (json.dumps(content, indent=1) + "\n").encode())
    _draw(models)


def _draw(models: Mapping[str, Any]) -> None:
    """A point for each model with an F1; one that has the weights of the one before would hide it. The plain export
    computes what the default's file does."""
    before = models[BEFORE].get("mean_f1")
    shown = {
        name: model
        for name, model in models.items()
        if "mean_f1" in model and (name == BEFORE or abs(model["mean_f1"] - before) > SAME)
    }
    if shown:
        plain = {**models[PLAIN], "mean_f1": models[zoo.DEFAULT_BACKBONE]["mean_f1"]}
        points = {
            name: [(model[f"threads_{t}"]["ms"], model["mean_f1"]) for t in THREADS]
            for name, model in {**shown, PLAIN: plain}.items()
        }
        lines = {PEER: [models[PEER][f"threads_{t}"]["ms"] for t in THREADS]}
        titles = [f"{t} threads" if t > 1 else "1 thread" for t in THREADS]
        save_figure(front_figure(points, lines, titles), RESULTS / "front.png")


def _files(before: Path, calib_data: Path | None) -> dict[str, Path]:
    """{name: file}; the first is what the others are compared with."""
    files = {BEFORE: before}
    for backbone in zoo.RELEASED:
        files[backbone] = Path(f"{backbone}.onnx")
        run_export(ExportConfig(backbone=backbone), files[backbone])
    if calib_data is not None:
        name = f"{zoo.DEFAULT_BACKBONE}-int8"
        files[name] = Path(f"{name}.onnx")
        run_quantize(files[zoo.DEFAULT_BACKBONE], QuantizeConfig(precision="int8", calib_data=calib_data), files[name])
    plain = Path("logits.onnx")
    run_export(ExportConfig(graph="reference"), plain)
    files[PLAIN] = Path(f"{PLAIN}.onnx")
    with_argmax(plain, files[PLAIN])
    files[PEER] = _peer(Path(f"{PEER}.onnx"))
    return files


def _peer(path: Path, side: int = 512) -> Path:
    """A BiSeNet as a file that our engine runs: float in, an ArgMax behind it."""
    torch.manual_seed(0)
    order = label_set("bisenet")
    model = trace(
        BiSeNet(len(order)).eval(),
        torch.zeros(1, 3, side, side),
        name="images",
        outputs=("logits",),
        opset=18,
        dynamic=False,
    )
    spec = ModelSpec(
        backbone="bisenet-resnet18", graph="reference", size=side, batch=1, label_order=order.name,
        classes=order.classes, outputs=("logits",), trained_size=None, terms="none: random weights",
    )  # fmt: skip
    set_metadata(model, {METADATA_KEY: spec.to_json()})
    onnx.save(model, path.with_suffix(".logits.onnx"))
    with_argmax(path.with_suffix(".logits.onnx"), path)
    return path


def _scores(path: Path, data: list[Sample]) -> dict[str, Any]:
    with open_engine(path) as engine:
        found = evaluate(engine, data, ORDER, "paper").to_dict()
    f1 = found["per_class_f1"]
    return {"size": found["size"], "mean_f1": found["mean_f1"], **{name: f1[name] for name in RARE_PARTS}}


def _peak(path: Path) -> float:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return float(pool.apply(peak_mb, (path,)))


if __name__ == "__main__":
    main()
