"""Regenerates everything that depends on released weights: `make release-model [BACKBONE=NAME] [DATA="--data DIR …"]`.

The checkpoint in `segface_edge/zoo/` is the source. From it come the metrics, the model card's tables and plots, and of
the default model the bundled ONNX and the README's picture.
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np
from metadata import with_front_matter
from PIL import Image

from segface_edge import FaceParser, zoo
from segface_edge.bench.choice import openers
from segface_edge.bench.report import all_rows
from segface_edge.bench.run import bench
from segface_edge.bench.scenarios import Scenario
from segface_edge.datasets.opening import folder
from segface_edge.datasets.samples import Sample
from segface_edge.engines import open_engine
from segface_edge.evaluation.corruptions import CORRUPTIONS
from segface_edge.evaluation.evaluate import Evaluation, Protocol, evaluate
from segface_edge.evaluation.robustness import evenly, robustness
from segface_edge.export.config import ExportConfig
from segface_edge.export.pipeline import run_export
from segface_edge.files import write_whole
from segface_edge.labels import RARE_PARTS, label_set
from segface_edge.pictures.reading import load
from segface_edge.plots.figure import save_figure
from segface_edge.plots.robustness import robustness_figure
from segface_edge.plots.scores import confusion_figure, per_class_figure, size_figure

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "docs" / "overlay.jpg"
BEGIN, END = "<!-- metrics: made by `make release-model` -->", "<!-- end of metrics -->"
ROBUST_BEGIN, ROBUST_END = "<!-- robustness: made by `make release-model` -->", "<!-- end of robustness -->"
# Input sides of the card's table, besides the model's own.
SIZES = (256, 384, 512)
THREADS = 2
OPENINGS = 6
# Photos that are made worse: 37 evaluations of each.
CORRUPTED = 100


class Card:
    """A model card, whose tables and front matter are made here and whose text is not.

    Attributes:
        name: of the model and its folder.
        path, metrics: the card, and the figures beside it.
    """

    def __init__(self, backbone: str) -> None:
        self.name = f"segface-{backbone.replace('_', '-')}"
        self.path = ROOT / "models" / self.name / "README.md"
        self.metrics = self.path.with_name("metrics.json")

    def write(self, metrics: dict[str, Any]) -> None:
        """The tables of F1 by class and by input size."""
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
            "The same weights exported at other input sizes (protocol paper), and the median time of a whole frame of "
            "the bundled photo, fitting and bringing back included: fp32, ONNX Runtime, "
            f"{latency['threads']} threads, {latency['machine']}.",
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
        self._replace(BEGIN, lines, END)
        text = self.path.read_text(encoding="utf-8")
        write_whole(self.path, with_front_matter(text, self.name, metrics).encode())

    def write_latency(self, timed: dict[str, Any], metrics: dict[str, Any]) -> None:
        """The metrics with the times of each size, the card's tables, and the picture."""
        for entry, row in zip(metrics["sizes"], all_rows(timed), strict=True):
            entry["frame_ms"] = row["latency_ms"]["p50"]
        metrics["latency"] = {"threads": THREADS, "machine": timed["environment"]["cpu"]}
        write_whole(self.metrics, (json.dumps(metrics, indent=2) + "\n").encode())
        self.write(metrics)
        scores = {self.name: {entry["size"]: entry["mean_f1"] for entry in metrics["sizes"]}}
        latency = {self.name: {entry["size"]: entry["frame_ms"] for entry in metrics["sizes"]}}
        save_figure(size_figure(scores, latency), self.path.with_name("sizes.png"))

    def write_robustness(self, document: dict[str, Any], metrics: dict[str, Any]) -> None:
        """The metrics with the robustness, the card's table, and the picture."""
        write_whole(self.metrics, (json.dumps({**metrics, "robustness": document}, indent=2) + "\n").encode())

        def points(value: float | None) -> str:
            return "-" if value is None else f"{100 * value:.1f}"

        clean = document["clean"]
        lines = [
            ROBUST_BEGIN,
            f"F1 in points of 100 on {document['images']} photos made worse, at three strengths (protocol paper). As "
            f"they are: mean {points(clean['mean_f1'])}, rare parts ({', '.join(RARE_PARTS)}) "
            f"{points(clean['rare_f1'])}. Mean loss over the table: {points(document['mean_loss'])}.",
            "",
            "| corruption | strengths | mean 1 | 2 | 3 | rare 1 | 2 | 3 |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for name, row in CORRUPTIONS.items():
            found = [entry for entry in document["corrupted"] if entry["corruption"] == name]
            cells = [points(entry[key]) for key in ("mean_f1", "rare_f1") for entry in found]
            what = row.what.format(", ".join(f"{value:g}" for value in row.values))
            lines.append(f"| {name} | {what} | " + " | ".join(cells) + " |")
        self._replace(ROBUST_BEGIN, [*lines, ROBUST_END], ROBUST_END)
        save_figure(robustness_figure({self.name: document}), self.path.with_name("robustness.png"))

    def _replace(self, begin: str, lines: list[str], end: str) -> None:
        """What lies between two marks of the card."""
        before, rest = self.path.read_text(encoding="utf-8").split(begin)
        write_whole(self.path, (before + "\n".join(lines) + rest.split(end)[1]).encode())


@click.command()
@click.option(
    "--data",
    "roots",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path, exists=True),
    help="Labelled faces in CelebAMask-HQ's order, images/ and labels/; several times for several folders.",
)
@click.option("--backbone", default=zoo.DEFAULT_BACKBONE, show_default=True, type=click.Choice(list(zoo.RELEASED)))
@click.option("--seconds", default=6.0, show_default=True, help="Time that each input size's latency is measured for.")
@click.option(
    "--only", type=click.Choice(["latency", "robustness"]), help="This part alone, of the file that is released."
)
def release(roots: tuple[Path, ...], backbone: str, seconds: float, only: str | None) -> None:
    """Export, measure, draw."""
    data = [sample for root in roots for sample in folder(root)]
    card = Card(backbone)
    with TemporaryDirectory() as temporary:
        bundled = backbone == zoo.DEFAULT_BACKBONE
        file = zoo.DEFAULT_MODEL if bundled else Path(temporary) / f"{card.name}.onnx"
        if only == "robustness" and bundled:
            card.write_robustness(_robustness(file, data), json.loads(card.metrics.read_text(encoding="utf-8")))
            return
        exported = run_export(ExportConfig(backbone=backbone, dynamic=True, compact=True, parity_data=roots[0]), file)
        for report in exported.parity:
            click.echo(report.summary())
        if only == "robustness":
            card.write_robustness(_robustness(file, data), json.loads(card.metrics.read_text(encoding="utf-8")))
            return
        files = {exported.spec.size: file}
        sizes = sorted({*SIZES, exported.spec.size})
        for size in sizes:
            if size not in files:
                files[size] = Path(temporary) / f"{size}.onnx"
                run_export(ExportConfig(backbone=backbone, imgsz=size), files[size])
        if only == "latency":
            metrics = json.loads(card.metrics.read_text(encoding="utf-8"))
            card.write_latency(_timed(files, seconds), metrics)
            return
        evaluations = {size: _measure(files[size], data, "paper") for size in sizes}
        native = _measure(file, data, "native")
        robust = _robustness(file, data)
        timed = _timed(files, seconds)
    paper = evaluations[exported.spec.size]
    metrics = {
        "paper": _document(paper),
        "native": _document(native),
        "sizes": [
            {
                "size": size,
                "mean_f1": evaluations[size].mean_f1(),
                "per_class_f1": _document(evaluations[size])["per_class_f1"],
            }
            for size in sizes
        ],
    }
    card.write_latency(timed, metrics)
    card.write_robustness(robust, metrics)
    save_figure(confusion_figure(paper), card.path.with_name("confusion.png"))
    save_figure(
        per_class_figure({f"input {size}": found for size, found in evaluations.items()}),
        card.path.with_name("per_class.png"),
    )
    if bundled:
        _draw()
    click.echo(f"mean F1 {paper.mean_f1():.4f} (paper), {native.mean_f1():.4f} (native)")


def _timed(files: dict[int, Path], seconds: float) -> dict[str, Any]:
    """A benchmark of whole frames of each size, smallest first."""
    words = [f"{files[size]}@threads={THREADS}" for size in sorted(files)]
    found = openers(words, device="cpu", threads=None)
    timed = bench(found, zoo.PORTRAIT.read_bytes(), Scenario(duration_s=seconds, openings=OPENINGS))
    for warning in timed["warnings"]:
        click.echo(f"warning: {warning}", err=True)
    return timed


def _measure(model: Path, data: list[Sample], protocol: Protocol) -> Evaluation:
    with open_engine(model) as engine:
        return evaluate(engine, data, label_set("celebamask-hq"), protocol)


def _document(evaluation: Evaluation) -> dict[str, Any]:
    """The evaluation's own document without names of photos (they may not be redistributed) and single pixels."""
    document = evaluation.to_dict() | {"model": Path(evaluation.to_dict()["model"]).name}
    return {key: value for key, value in document.items() if key not in ("worst", "confusion")}


def _robustness(model: Path, data: list[Sample]) -> dict[str, Any]:
    with open_engine(model) as engine:
        found = robustness(engine, evenly(data, CORRUPTED), label_set("celebamask-hq"), "paper")
    return {"images": found.clean.images, **found.to_dict()}


def _draw() -> None:
    """The README's picture: the portrait, its overlay, its colours."""
    with FaceParser() as parser:
        face = parser(zoo.PORTRAIT)
    picture = np.concatenate([load(zoo.PORTRAIT), face.overlay(), face.color()], axis=1)
    Image.fromarray(picture).resize((960, 320), Image.Resampling.LANCZOS).save(PICTURE, quality=90)


if __name__ == "__main__":
    release()
