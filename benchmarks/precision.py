"""What lower precision costs in accuracy: `python benchmarks/precision.py --data DIR MODEL.onnx LOWER.onnx ...`.

The first file is the reference, in fp32. Each file's F1 against the labels of the data and, against the reference, its
equal labels; `results/precision/metrics.json` and the table in `docs/precision.md`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import onnx

from segface_edge.bench.machine import environment
from segface_edge.datasets.opening import folder
from segface_edge.datasets.samples import Sample
from segface_edge.engines import Engine, open_engine
from segface_edge.evaluation.evaluate import evaluate
from segface_edge.evaluation.parity import compare
from segface_edge.evaluation.photos import own_faces
from segface_edge.export.constants import plain_weights
from segface_edge.export.cost import macs_by_type
from segface_edge.files import write_whole
from segface_edge.labels import RARE_PARTS, label_set

ROOT = Path(__file__).resolve().parent.parent
METRICS = ROOT / "benchmarks" / "results" / "precision" / "metrics.json"
DOCUMENT = ROOT / "docs" / "precision.md"
BEGIN, END = "<!-- table: made by `python benchmarks/precision.py` -->", "<!-- end of table -->"


@click.command()
@click.option(
    "--data",
    "roots",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path, exists=True),
    help="Labelled faces in CelebAMask-HQ's order, images/ and labels/; several times for several folders.",
)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
def main(roots: tuple[Path, ...], files: Sequence[Path]) -> None:
    """Measure, write."""
    data = [sample for root in roots for sample in folder(root)]
    with open_engine(files[0]) as reference:
        found = [_row(reference, path, data, roots[0]) for path in files]
    METRICS.parent.mkdir(parents=True, exist_ok=True)
    document = {"environment": environment(), "files": found}
    write_whole(METRICS, (json.dumps(document, indent=1) + "\n").encode())
    table = "\n".join([BEGIN, *_table(found), END])
    before, rest = DOCUMENT.read_text(encoding="utf-8").split(BEGIN)
    write_whole(DOCUMENT, (before + table + rest.split(END)[1]).encode())
    click.echo(table)


def _row(reference: Engine, path: Path, data: Sequence[Sample], faces: Path) -> dict[str, Any]:
    model = onnx.load(path)
    plain_weights(model)
    with open_engine(path) as engine:
        evaluation = evaluate(engine, data, label_set("celebamask-hq"), "paper").to_dict()
        (report,) = compare(reference, {path.name: engine}, own_faces(faces, engine.spec.size), name="fp32")
        return {
            "precision": engine.spec.precision,
            "size": engine.spec.size,
            "images": evaluation["images"],
            "mean_f1": evaluation["mean_f1"],
            "per_class_f1": evaluation["per_class_f1"],
            "equal": report.equal,
            "file_bytes": path.stat().st_size,
            "macs": macs_by_type(model),
            "engine": engine.describe(),
        }


def _table(found: Sequence[dict[str, Any]]) -> list[str]:
    """Columns are files. Of a class, the reference's F1 and what the others gain or lose."""

    def row(name: str, values: Sequence[str]) -> str:
        return f"| {name} | " + " | ".join(values) + " |"

    def points(f1s: Sequence[float | None]) -> list[str]:
        first = f1s[0]
        if first is None:
            return ["-" for _ in f1s]
        return [f"{100 * first:.1f}", *("-" if f1 is None else f"{100 * (f1 - first):+.2f}" for f1 in f1s[1:])]

    return [
        f"{found[0]['images']} photos, input {found[0]['size']} x {found[0]['size']}, protocol paper: F1 in points of "
        "100, and the difference to it.",
        "",
        row("", [one["precision"] for one in found]),
        "|---" * (len(found) + 1) + "|",
        row("file, MB", [f"{one['file_bytes'] / 1e6:.1f}" for one in found]),
        row(
            "multiplications",
            [", ".join(f"{kind.lower()} {count / 1e9:.2f} G" for kind, count in one["macs"].items()) for one in found],
        ),
        row("labels as in fp32", [f"{one['equal']:.3%}" for one in found]),
        row("**mean F1**", points([one["mean_f1"] for one in found])),
        *(
            row(f"*{name}*" if name in RARE_PARTS else name, points([one["per_class_f1"][name] for one in found]))
            for name in found[0]["per_class_f1"]
        ),
    ]


if __name__ == "__main__":
    main()
