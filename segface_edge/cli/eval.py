"""`segface-edge eval`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from .options import check_json, json_option, model_options, progress_bar, say


@click.command(
    "eval",
    epilog="""\b
Examples:
  segface-edge eval --data DIR --label-order celebamask-hq
  segface-edge eval --model model.onnx --data DIR --label-order celebamask-hq --protocol native --json -""",
)
@click.option("--model", type=click.Path(path_type=Path), help="ONNX file or checkpoint; default: the bundled model.")
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Folder with images/ and labels/.")
@click.option("--label-order", help="Order of the labels on disk (see `segface-edge labels`); default: the model's.")
@click.option(
    "--protocol",
    type=click.Choice(["paper", "native"]),
    default="paper",
    show_default=True,
    help="paper: photo and labels resized to the network's square; native: compared in the labels' own pixels.",
)
@model_options
@json_option
def command(
    model: Path | None,
    data: Path,
    label_order: str | None,
    protocol: Literal["paper", "native"],
    device: str,
    threads: int | None,
    json_to: str | None,
) -> None:
    """Measure F1 and IoU of a model on a folder with images/NAME.jpg and labels/NAME.png (ids, indexed)."""
    from segface_edge import zoo
    from segface_edge.engines import open_engine
    from segface_edge.evaluation.datasets import folder
    from segface_edge.evaluation.evaluate import evaluate
    from segface_edge.labels import label_set

    check_json(json_to)
    samples = folder(data)
    with open_engine(model or zoo.DEFAULT_MODEL, device=device, threads=threads) as engine:
        order = label_set(label_order) if label_order else engine.spec.labels
        with progress_bar(len(samples), "evaluating") as advance:
            result = evaluate(engine, samples, order, protocol, progress=advance)
    document = result.to_dict()
    say(document, json_to, _text(document))


def _text(document: dict[str, Any]) -> str:
    def points(value: float | None) -> str:
        return "     -" if value is None else f"{100 * value:6.2f}"

    rows = [
        f"  {name:<11} {points(f1)}  {points(document['per_class_iou'][name])}"
        for name, f1 in document["per_class_f1"].items()
    ]
    return "\n".join(
        [
            f"{document['model']}: {document['images']} photos, protocol {document['protocol']}, "
            f"input {document['size']} x {document['size']}, classes of '{document['label_order']}'",
            f"  {'class':<11} {'F1':>6}  {'IoU':>6}   (points of 100; - : in neither labels nor prediction)",
            *rows,
            f"  {'mean':<11} {points(document['mean_f1'])}  {points(document['mean_iou'])}"
            "   (F1 without background, IoU with it)",
        ]
    )
