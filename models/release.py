"""Regenerates everything that depends on the released weights: `make release-model [DATA=DIR]`.

The checkpoint in `segface_edge/zoo/` is the source. From it come the bundled ONNX, the metrics and the model card's
tables, and the README's picture.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image

from segface_edge import FaceParser, zoo
from segface_edge.engines import open_engine
from segface_edge.evaluation.datasets import folder
from segface_edge.evaluation.evaluate import evaluate
from segface_edge.export.config import ExportConfig
from segface_edge.export.pipeline import run_export
from segface_edge.files import write_whole
from segface_edge.imaging import load
from segface_edge.labels import label_set

ROOT = Path(__file__).parent.parent
CARD = ROOT / "models" / "segface-mobilenet" / "README.md"
METRICS = CARD.with_name("metrics.json")
PICTURE = ROOT / "docs" / "overlay.jpg"
BEGIN, END = "<!-- metrics: made by `make release-model` -->", "<!-- end of metrics -->"


@click.command()
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path, exists=True),
    help="Labelled faces in CelebAMask-HQ's order, images/ and labels/.",
)
def release(data: Path) -> None:
    """Export, measure, draw."""
    exported = run_export(ExportConfig(dynamic=True, compact=True, parity_data=data), zoo.DEFAULT_MODEL)
    for report in exported.parity:
        click.echo(report.summary())
    samples = folder(data)
    order = label_set("celebamask-hq")
    metrics: dict[str, Any] = {}
    with open_engine(zoo.DEFAULT_MODEL) as engine:
        for protocol in ("paper", "native"):
            measured = evaluate(engine, samples, order, protocol).to_dict()  # type: ignore[arg-type]
            metrics[protocol] = measured | {"model": zoo.DEFAULT_MODEL.name}
    write_whole(METRICS, (json.dumps(metrics, indent=2) + "\n").encode())
    _write_card(metrics)
    _draw()
    click.echo(f"mean F1 {metrics['paper']['mean_f1']:.4f} (paper), {metrics['native']['mean_f1']:.4f} (native)")


def _write_card(metrics: dict[str, Any]) -> None:
    paper, native = metrics["paper"], metrics["native"]

    def row(name: str, first: float | None, second: float | None) -> str:
        return f"| {name} | " + " | ".join("-" if v is None else f"{100 * v:.1f}" for v in (first, second)) + " |"

    lines = [
        BEGIN,
        f"{paper['images']} photos, input {paper['size']} x {paper['size']}, F1 in points of 100.",
        "",
        "| class | protocol paper | protocol native |",
        "|---|---|---|",
        row("**mean, without background**", paper["mean_f1"], native["mean_f1"]),
        *(row(name, f1, native["per_class_f1"][name]) for name, f1 in paper["per_class_f1"].items()),
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
