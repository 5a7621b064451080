"""How well faces are parsed wherever they are: labelled portraits in larger photos, small, shifted and turned.

    python benchmarks/anywhere.py --data DIR --backgrounds DIR

A photo is 1600 x 1200; of scale 1 is a portrait as high as it. Around it lies the corner of another photo, made large,
so that there is one face with known labels. F1 is of the whole photo's pixels, background outside the portrait. Writes
results/anywhere/scales.json and scales.png.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from matplotlib.figure import Figure

from segface_edge import FaceParser
from segface_edge.bench.machine import environment
from segface_edge.datasets.opening import open_dataset
from segface_edge.evaluation.histogram import Histogram
from segface_edge.files import write_whole
from segface_edge.labels import RARE_PARTS, label_set
from segface_edge.pictures import reading
from segface_edge.plots.figure import save_figure
from segface_edge.sources.photos import find

RESULTS = Path(__file__).parent / "results" / "anywhere"
HEIGHT, WIDTH = 1200, 1600
SCALES = (0.15, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0)
LARGEST_ANGLE = 25.0
CORNER = 0.2  # of a photo's side: no face is there


def placed(
    portrait: np.ndarray, labels: np.ndarray, background: np.ndarray, scale: float, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A photo (HEIGHT, WIDTH, 3) with the portrait in it, and its label map."""
    side = scale * HEIGHT
    angle = random.uniform(-LARGEST_ANGLE, LARGEST_ANGLE)
    # The turned square may reach beyond the photo by a little, its middle never.
    reach = min(side / 2, HEIGHT / 2 - 1)
    x = random.uniform(reach, WIDTH - reach)
    y = random.uniform(reach, HEIGHT - reach)
    corner = background[: int(CORNER * background.shape[0]), : int(CORNER * background.shape[1])]
    photo = cv2.resize(corner, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    small = portrait.shape[0] * min(1.0, side / portrait.shape[0])
    shown = cv2.resize(portrait, (round(small), round(small)), interpolation=cv2.INTER_AREA)

    def way(source: int) -> np.ndarray:
        cos, sin = (side / source * f(math.radians(angle)) for f in (math.cos, math.sin))
        middle = source / 2 - 0.5
        return np.array(
            [[cos, -sin, x - 0.5 - cos * middle + sin * middle], [sin, cos, y - 0.5 - sin * middle - cos * middle]]
        )

    cv2.warpAffine(
        shown,
        way(shown.shape[0]),
        (WIDTH, HEIGHT),
        dst=photo,
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_TRANSPARENT,
    )
    truth = cv2.warpAffine(labels, way(labels.shape[0]), (WIDTH, HEIGHT), flags=cv2.INTER_NEAREST, borderValue=0)
    return photo, truth


@click.command(help=__doc__)
@click.option("--data", required=True, type=click.Path(path_type=Path, exists=True), help="Labelled portraits.")
@click.option("--backgrounds", required=True, type=click.Path(path_type=Path, exists=True), help="Other photos.")
@click.option("--detector", type=click.Path(path_type=Path, exists=True), help="YuNet's model; default: the bundled.")
@click.option("--label-order", default="celebamask-hq", show_default=True)
@click.option("--model", type=click.Path(path_type=Path, exists=True), help="Default: the bundled one.")
@click.option("--photos", default=100, show_default=True, help="Of the data, at each scale.")
@click.option("--locate", "names", default="yunet,self", show_default=True)
@click.option("--threads", default=2, show_default=True)
@click.option("--save", type=click.Path(path_type=Path), help="Folder for a few of the photos with their overlays.")
def main(
    data: Path,
    backgrounds: Path,
    detector: Path | None,
    label_order: str,
    model: Path | None,
    photos: int,
    names: str,
    threads: int,
    save: Path | None,
) -> None:
    """Measure, write."""
    samples = open_dataset(data, order=label_set(label_order), default=label_set("segface")).samples[:photos]
    others = [source.photo for source in find(str(backgrounds))]
    order = label_set(label_order)
    with FaceParser(model, locate="whole", threads=threads) as whole:
        aligned = Histogram(len(order))
        for sample in samples:
            aligned.add(sample.read_labels(order), whole(sample.image).remap(order).labels)
    rows = [{"locate": "aligned portraits", "scale": None, **figures(aligned, order, 0, 0, len(samples))}]
    say(rows[-1])
    for name in names.split(","):
        with FaceParser(
            model, locate=name, detector=detector if name in ("yunet", "auto") else None, threads=threads
        ) as parser:
            for scale in SCALES:
                random = np.random.default_rng(0)  # the same places and turns for every way
                histogram, lost, more = Histogram(len(order)), 0, 0
                for index, sample in enumerate(samples):
                    background = reading.load(others[index % len(others)])
                    photo, truth = placed(
                        reading.load(sample.image), sample.read_labels(order), background, scale, random
                    )
                    face = parser(photo)
                    lost += not face.faces
                    more += len(face.faces) > 1
                    histogram.add(truth, face.remap(order).labels)
                    if save and index < 3:
                        save.mkdir(parents=True, exist_ok=True)
                        face.save(save / f"{name}-{scale}-{index}.jpg")
                rows.append({"locate": name, "scale": scale, **figures(histogram, order, lost, more, len(samples))})
                say(rows[-1])
    RESULTS.mkdir(parents=True, exist_ok=True)
    document = {"rows": rows, "photo": [HEIGHT, WIDTH], "environment": environment()}
    write_whole(RESULTS / "scales.json", (json.dumps(document, indent=1) + "\n").encode())
    save_figure(draw(rows), RESULTS / "scales.png")


def figures(histogram: Histogram, order: Any, lost: int, more: int, photos: int) -> dict[str, Any]:
    """F1 of all classes but background, of the rare ones, and how often no face or several were found."""
    f1 = dict(zip(order.classes, histogram.f1().tolist(), strict=True))
    parts = [value for name, value in f1.items() if name != "background" and not math.isnan(value)]
    return {
        "mean_f1": sum(parts) / len(parts),
        "rare_f1": float(np.nanmean([f1[name] for name in RARE_PARTS])),
        "per_class_f1": {name: None if math.isnan(value) else value for name, value in f1.items()},
        "without_face": lost,
        "with_several": more,
        "photos": photos,
    }


def say(row: dict[str, Any]) -> None:
    """A line for people."""
    click.echo(
        f"{row['locate']:18} {row['scale'] or '':>5} F1 {100 * row['mean_f1']:5.1f}, rare {100 * row['rare_f1']:5.1f}; "
        f"no face in {row['without_face']}, several in {row['with_several']} of {row['photos']}"
    )


def draw(rows: list[dict[str, Any]]) -> Figure:
    """Mean F1 over scale, a line a way, and the aligned portraits'."""
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.add_subplot()
    best = 100 * rows[0]["mean_f1"]
    axes.axhline(best, color="0.3", label=f"aligned portraits ({best:.1f})")
    for i, name in enumerate(dict.fromkeys(row["locate"] for row in rows[1:])):
        mine = [row for row in rows if row["locate"] == name]
        axes.plot(
            [row["scale"] for row in mine], [100 * row["mean_f1"] for row in mine], "o-", color=f"C{i}", label=name
        )
    axes.set_xlabel(f"height of the portrait, share of the photo's ({HEIGHT} pixels)")
    axes.set_ylabel("mean F1 in the photo's pixels, %")
    axes.set_ylim(0, 100)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    return figure


if __name__ == "__main__":
    main()
