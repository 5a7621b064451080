"""Regenerates everything that depends on the released weights: `make release-model [DATA=DIR]`.

The checkpoint in `segface_edge/zoo/` is the source. From it come the bundled ONNX, the metrics, the model card's tables
and plots, and the README's picture.
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np
from PIL import Image

from segface_edge import FaceParser, zoo
from segface_edge.bench.choice import openers
from segface_edge.bench.run import bench
from segface_edge.bench.scenarios import Scenario
from segface_edge.datasets.opening import folder
from segface_edge.engines import open_engine
from segface_edge.evaluation.evaluate import Evaluation, Protocol, evaluate
from segface_edge.export.config import ExportConfig
from segface_edge.export.pipeline import run_export
from segface_edge.files import write_whole
from segface_edge.labels import RARE_PARTS, label_set
from segface_edge.pictures.reading import load
from segface_edge.plots.figure import save_figure
from segface_edge.plots.scores import confusion_figure, per_class_figure, size_figure

ROOT = Path(__file__).parent.parent
CARD = ROOT / "models" / "segface-mobilenet" / "README.md"
METRICS = CARD.with_name("metrics.json")
PICTURE = ROOT / "docs" / "overlay.jpg"
BEGIN, END = "<!-- metrics: made by `make release-model` -->", "<!-- end of metrics -->"
SIZES = (256, 384, 512)
THREADS = 2
OPENINGS = 6


@click.command()
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path, exists=True),
    help="Labelled faces in CelebAMask-HQ's order, images/ and labels/.",
)
@click.option("--seconds", default=6.0, show_default=True, help="Time that each input size's latency is measured for.")
def release(data: Path, seconds: float) -> None:
    """Export, measure, draw."""
    exported = run_export(ExportConfig(dynamic=True, compact=True, parity_data=data), zoo.DEFAULT_MODEL)
    for report in exported.parity:
        click.echo(report.summary())
    with TemporaryDirectory() as temporary:
        files = {exported.spec.size: zoo.DEFAULT_MODEL}
        for size in SIZES:
            if size not in files:
                files[size] = Path(temporary) / f"{size}.onnx"
                run_export(ExportConfig(imgsz=size), files[size])
        evaluations = {size: _measure(files[size], data, "paper") for size in SIZES}
        native = _measure(zoo.DEFAULT_MODEL, data, "native")
        words = [f"{files[size]}@threads={THREADS}" for size in SIZES]
        found = openers(words, device="cpu", threads=None)
        scenario = Scenario(duration_s=seconds, openings=OPENINGS)
        timed = bench(found, zoo.PORTRAIT.read_bytes(), scenario)
    paper = evaluations[exported.spec.size]
    rows = [timed, *timed["others"]]
    metrics: dict[str, Any] = {
        "paper": _document(paper),
        "native": _document(native),
        "sizes": [
            {
                "size": size,
                "mean_f1": evaluations[size].mean_f1(),
                "per_class_f1": _document(evaluations[size])["per_class_f1"],
                "frame_ms": row["latency_ms"]["p50"],
            }
            for size, row in zip(SIZES, rows, strict=True)
        ],
        "latency": {"threads": THREADS, "machine": timed["environment"]["cpu"]},
    }
    write_whole(METRICS, (json.dumps(metrics, indent=2) + "\n").encode())
    _write_card(metrics)
    name = "segface-mobilenet"
    save_figure(confusion_figure(paper), CARD.with_name("confusion.png"))
    save_figure(
        per_class_figure({f"input {size}": found for size, found in evaluations.items()}),
        CARD.with_name("per_class.png"),
    )
    latency = {name: {row["size"]: row["frame_ms"] for row in metrics["sizes"]}}
    save_figure(
        size_figure({name: {size: e.mean_f1() for size, e in evaluations.items()}}, latency),
        CARD.with_name("sizes.png"),
    )
    _draw()
    click.echo(f"mean F1 {paper.mean_f1():.4f} (paper), {native.mean_f1():.4f} (native)")
    for warning in timed["warnings"]:
        click.echo(f"warning: {warning}", err=True)


def _measure(model: Path, data: Path, protocol: Protocol) -> Evaluation:
    with open_engine(model) as engine:
        return evaluate(engine, folder(data), label_set("celebamask-hq"), protocol)


def _document(evaluation: Evaluation) -> dict[str, Any]:
    """The evaluation's own document without names of photos (they may not be redistributed) and single pixels."""
    document = evaluation.to_dict() | {"model": zoo.DEFAULT_MODEL.name}
    return {key: value for key, value in document.items() if key not in ("worst", "confusion")}


def _write_card(metrics: dict[str, Any]) -> None:
    paper, native, latency = metrics["paper"], metrics["native"], metrics["latency"]

    def row(name: object, *values: float | None) -> str:
        return f"| {name} | " + " | ".join("-" if v is None else f"{100 * v:.1f}" for v in values) + " |"

    lines = [
        BEGIN,
        f"{paper['images']} photos, input {paper['size']} x {paper['size']}, F1 in points of 100.",
        "",
        "| class | protocol paper | protocol native |",
        "|---|---|---|",
        row("**mean, without background**", paper["mean_f1"], native["mean_f1"]),
        *(row(name, f1, native["per_class_f1"][name]) for name, f1 in paper["per_class_f1"].items()),
        "",
        f"The same weights exported at other input sizes (protocol paper), and the median time of a whole frame of the "
        f"bundled photo, fitting and bringing back included: fp32, ONNX Runtime, {latency['threads']} threads, "
        f"{latency['machine']}.",
        "",
        f"| input side | mean | {' | '.join(RARE_PARTS)} | ms a frame |",
        "|---" * (len(RARE_PARTS) + 3) + "|",
        *(
            row(entry["size"], entry["mean_f1"], *(entry["per_class_f1"][name] for name in RARE_PARTS))
            + f" {entry['frame_ms']:.0f} |"
            for entry in metrics["sizes"]
        ),
        END,
    ]
    text = CARD.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    write_whole(CARD, (before + "\n".join(lines) + rest.split(END)[1]).encode())


def _draw() -> None:
    """The README's picture: the portrait, its overlay, its colours."""
    with FaceParser() as parser:
        face = parser(zoo.PORTRAIT)
    picture = np.concatenate([load(zoo.PORTRAIT), face.overlay(), face.color()], axis=1)
    Image.fromarray(picture).resize((960, 320), Image.Resampling.LANCZOS).save(PICTURE, quality=90)


if __name__ == "__main__":
    release()
