"""Every backbone with random weights: what it costs, and what the deploy graph wins over a plain export.

    python benchmarks/family.py --work DIR [--rows mobilenet,swin_base] [--size 256] [--no-measure]

- Parameters; multiplications of a frame, and the decoder's share; the file; seconds and memory that an export takes,
  with its parity; fp16's equal labels; the plans that TensorRT-RTX builds of both, where it is installed.
- A frame's time of the deploy graph and of the plain export with an ArgMax behind it, two threads, in turn.

The files are made once, in DIR: with `--no-measure` beside other work, and the times later on a quiet machine. Rows
that are not measured stay as they were: each says on what CPU. Writes `results/family/family.json`, the picture beside
it (the F1 that the paper reports over milliseconds), and the table in `docs/backbones.md`.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import onnx
import torch
from graph import most_resident_mb, peak_mb, with_argmax

from segface_edge import zoo
from segface_edge.bench.choice import openers
from segface_edge.bench.machine import environment
from segface_edge.bench.report import all_rows, text
from segface_edge.bench.run import bench
from segface_edge.bench.scenarios import Scenario
from segface_edge.engines.nvidia.build import build
from segface_edge.engines.nvidia.config import BuildConfig
from segface_edge.errors import ParityError, SegFaceEdgeError
from segface_edge.export.config import ExportConfig
from segface_edge.export.cost import node_costs
from segface_edge.export.pipeline import run_export
from segface_edge.export.quantize import QuantizeConfig, run_quantize
from segface_edge.files import write_whole
from segface_edge.network import BACKBONES, build_segface
from segface_edge.plots.figure import save_figure
from segface_edge.plots.scores import front_figure

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "family"
DOCUMENT = ROOT / "docs" / "backbones.md"
BEGIN, END = "<!-- table: made by `python benchmarks/family.py` -->", "<!-- end of table -->"
# Table 1 of the paper, CelebAMask-HQ at 512 x 512.
PAPER = {
    "mobilenet": 0.8791,
    "resnet": 0.8750,
    "efficientnet": 0.8894,
    "convnext_base": 0.8922,
    "swin_base": 0.8896,
    "swinv2_base": 0.8873,
}
# As in conftest.py of the tests: torchvision's operators do not load beside a CPU's torch, and no backbone uses them.
UNUSED = ("nms", "qnms")
OPENINGS = 4
# Of the plans: an RTX 30's.
TARGET = "8.6"


@click.command(help=__doc__)
@click.option("--work", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder for the files.")
@click.option("--rows", default=",".join(BACKBONES), help="Keys of BACKBONES, comma-separated; default: all.")
@click.option("--size", default=256, show_default=True, help="Input side.")
@click.option("--duration", default=6.0, show_default=True, help="Seconds per graph.")
@click.option("--measure/--no-measure", default=True, show_default=True, help="Frame times, table and picture.")
def main(work: Path, rows: str, size: int, duration: float, measure: bool) -> None:
    """Export, measure, write, draw."""
    declare_unused()
    (work / str(size)).mkdir(parents=True, exist_ok=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    os.chdir(work / str(size))  # so that reports name files, not this machine's folders
    for row in rows.split(","):
        made = Path(f"{row}.json")
        if not made.is_file():
            write_whole(made, json.dumps(_made(row, size)).encode())
        plans = Path(f"{row}-plans.json")
        if not plans.is_file() and find_spec("tensorrt_rtx_bindings"):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                write_whole(plans, json.dumps(pool.apply(_plans, (row,))).encode())
        click.echo(f"{row}: {made.read_text(encoding='utf-8')}")
    if measure:
        _measure(rows.split(","), size, duration)


def _measure(rows: list[str], size: int, duration: float) -> None:
    path = RESULTS / "family.json"
    known = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.is_file() else {}
    for row in rows:
        made = json.loads(Path(f"{row}.json").read_text(encoding="utf-8"))
        plans = Path(f"{row}-plans.json")
        built = json.loads(plans.read_text(encoding="utf-8")) if plans.is_file() else {}
        known[row] = {"size": size, **made, "plans": built, **_times(row, duration), "cpu": environment()["cpu"]}
    known = {name: known[name] for name in BACKBONES if name in known}
    write_whole(path, (json.dumps({"environment": environment(), "rows": known}, indent=1) + "\n").encode())
    points = {row: [(known[row]["deploy_ms"], f1)] for row, f1 in PAPER.items() if row in known}
    if points:
        title = f"F1: the paper's, at 512; time: at {size}, two threads of a CPU"
        save_figure(front_figure(points, {}, [title], span="the deploy graph"), RESULTS / "family.png")
    before, rest = DOCUMENT.read_text(encoding="utf-8").split(BEGIN)
    table = "\n".join([BEGIN, *_table(known), END])
    write_whole(DOCUMENT, (before + table + rest.split(END)[1]).encode())
    click.echo(table)


def declare_unused() -> None:
    """Lets torchvision import beside a CPU's torch."""
    for name in UNUSED:
        if not hasattr(torch.ops.torchvision, name):
            torch.library.define(f"torchvision::{name}", "(Tensor a, Tensor b, float c) -> Tensor")


def _plain(row: str) -> Path:
    return Path(f"{row}-plain.onnx")


def _deploy(row: str) -> Path:
    return Path(f"{row}-deploy.onnx")


def _half(row: str) -> Path:
    return Path(f"{row}-fp16.onnx")


def _made(row: str, size: int) -> dict[str, Any]:
    with torch.device("meta"):
        model = build_segface(row, image_size=size)
    inside = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
    # In processes of their own: their memory is the export's.
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        export = pool.apply(_export, (row, size))
    with context.Pool(1) as pool:
        peak = pool.apply(peak_mb, (_deploy(row),))
    with context.Pool(1) as pool:
        lowered = pool.apply(_lower, (row,))
    logits = Path(f"{row}-logits.onnx")
    with context.Pool(1) as pool:
        pool.apply(_reference, (row, size, logits))
    with_argmax(logits, _plain(row))
    logits.unlink()
    gmac = {path: _gmac(path) for path in (_plain(row), _deploy(row))}
    return {
        "million_parameters": sum(inside.values()) / 1e6,
        "million_parameters_backbone": inside["backbone"] / 1e6,
        "gmac_plain": gmac[_plain(row)],
        "gmac_deploy": gmac[_deploy(row)],
        "gmac_backbone": _backbone_gmac(row, size),
        "file_mb": _deploy(row).stat().st_size / 1e6,
        "peak_memory_mb": peak,
        "paper_f1_at_512": PAPER.get(row),
        **export,
        **lowered,
    }


def _gmac(path: Path) -> float:
    return sum(cost.macs for cost in node_costs(onnx.load(path))) / 1e9


def _backbone_gmac(row: str, size: int) -> float:
    """Multiplications of its convolutions, matrix products and attentions, as PyTorch counts them."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        backbone = build_segface(row, image_size=size).eval().backbone
        frame = torch.zeros(1, 3, size, size)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        backbone.features(frame)
    return counter.get_total_flops() / 2e9


def _export(row: str, size: int) -> Mapping[str, float]:
    declare_unused()
    start = perf_counter()
    done = run_export(ExportConfig(backbone=row, random_weights=True, imgsz=size), _deploy(row))
    return {
        "export_s": perf_counter() - start,
        "export_peak_mb": most_resident_mb(),
        "equal_to_pytorch": done.parity[-1].equal,
    }


def _lower(row: str) -> Mapping[str, Any]:
    start = perf_counter()
    try:
        done = run_quantize(_deploy(row), QuantizeConfig(precision="fp16"), _half(row))
    except ParityError as error:
        return {"fp16_equal": None, "fp16_fails": str(error)}
    assert done.parity is not None
    return {
        "fp16_s": perf_counter() - start,
        "fp16_peak_mb": most_resident_mb(),
        "fp16_equal": done.parity.equal,
        "fp16_islands": len(done.lowered.islands),
    }


def _plans(row: str) -> Mapping[str, Any]:
    """By precision: an engine's size, and the seconds that its build took, or the builder's words."""
    found: dict[str, Any] = {}
    for precision, path in (("fp32", _deploy(row)), ("fp16", _half(row))):
        if not path.is_file():
            continue
        start = perf_counter()
        try:
            plan = build(path, BuildConfig(runtime="rtx", targets=(TARGET,))).plan
        except SegFaceEdgeError as error:
            found[precision] = {"fails": str(error)}
        else:
            found[precision] = {"mb": len(plan) / 1e6, "seconds": perf_counter() - start}
    return found


def _reference(row: str, size: int, path: Path) -> None:
    declare_unused()
    run_export(ExportConfig(backbone=row, random_weights=True, imgsz=size, graph="reference"), path)


def _times(row: str, duration: float) -> dict[str, Any]:
    """In the folder of the files."""
    named = openers([str(_plain(row)), str(_deploy(row))], device="cpu", threads=2)
    document = bench(named, zoo.PORTRAIT.read_bytes(), Scenario(duration_s=duration, openings=OPENINGS), span="engine")
    click.echo(text(document))
    plain, deploy = (found["latency_ms"]["p50"] for found in all_rows(document))
    (comparison,) = document["comparisons"]
    return {"plain_ms": plain, "deploy_ms": deploy, "times_as_fast": 1 / comparison["latency_ratio"]}


def _table(known: Mapping[str, Mapping[str, Any]]) -> list[str]:
    head = (
        "row", "parameters, M", "G multiplications: backbone, plain, deploy", "file, MB", "memory, MB",
        "CPU", "plain + ArgMax, ms", "deploy, ms", "times as fast", "equal labels: fp32, fp16",
        "export, s and GB", "TensorRT-RTX: fp32, fp16, MB", "paper's F1",
    )  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, row in known.items():
        cells = (
            f"`{name}`",
            f"{row['million_parameters']:.1f}",
            f"{row['gmac_backbone']:.2f}, {row['gmac_plain']:.2f}, {row['gmac_deploy']:.2f}",
            f"{row['file_mb']:.0f}",
            f"{row['peak_memory_mb']:.0f}",
            " ".join(row["cpu"].replace("(R)", "").split()[:2]),
            f"{row['plain_ms']:.0f}",
            f"{row['deploy_ms']:.0f}",
            f"{row['times_as_fast']:.2f}",
            f"{row['equal_to_pytorch']:.4%}, " + ("fails" if row["fp16_equal"] is None else f"{row['fp16_equal']:.3%}"),
            f"{row['export_s']:.0f}, {row['export_peak_mb'] / 1000:.1f}",
            ", ".join(_plan_cell(row.get("plans", {}).get(precision)) for precision in ("fp32", "fp16")),
            "-" if row["paper_f1_at_512"] is None else f"{100 * row['paper_f1_at_512']:.1f}",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _plan_cell(plan: Mapping[str, Any] | None) -> str:
    if plan is None:
        return "-"
    return f"{plan['mb']:.0f}" if "mb" in plan else "fails"


if __name__ == "__main__":
    main()
