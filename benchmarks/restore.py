"""Cost and quality of bringing label maps back to the photo: `python benchmarks/restore.py [--data DIR]`.

Quality: label maps of a data set are reduced (nearest) to a network's frame, restored, and compared with what they
were: mean F1, and F1 of the thin classes, for several widths of smoothing and for nearest-neighbour. Cost: median
milliseconds at several photo sizes.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from time import perf_counter

import click
import numpy as np
from PIL import Image

from segface_edge import FaceParser, zoo
from segface_edge.datasets.opening import folder
from segface_edge.datasets.samples import read_labels
from segface_edge.evaluation.histogram import Histogram
from segface_edge.labels import label_set
from segface_edge.pictures import fitting, reading, restoring

THIN = ("neck_l", "ear_r", "eye_g", "l_brow", "u_lip")
WIDTHS = (None, 0.01, 0.4, 0.6, 0.8, 1.0)  # None: nearest-neighbour; 0.01: no smoothing


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), help="images/, labels/ in CelebAMask-HQ's order.")
@click.option("--limit", default=400, show_default=True, help="Label maps at most.")
def main(data: Path | None, limit: int) -> None:
    """Print both tables."""
    _cost()
    if data:
        _quality(data, limit)


def _cost() -> None:
    with FaceParser() as parser:
        frame = fitting.fit(reading.load(zoo.PORTRAIT), parser.spec.size).pixels
        labels = parser.engine.infer(frame[None]).labels[0]
    print(f"{len(np.unique(labels))} classes, frame {labels.shape[0]}")
    for side in (256, 512, 1024, 2048, 4096):
        geometry = fitting.fit(np.zeros((side, side, 3), np.uint8), labels.shape[0]).geometry
        times = []
        for _ in range(11):
            start = perf_counter()
            restoring.restore(labels, geometry, side, side)
            times.append(1000 * (perf_counter() - start))
        print(f"photo {side:>4} x {side:<4}  restore {statistics.median(times):7.2f} ms")


def _quality(data: Path, limit: int) -> None:
    order = label_set("celebamask-hq")
    truths = [read_labels(sample.labels, order) for sample in folder(data)[:limit]]
    print(f"{len(truths)} label maps; F1: mean, " + ", ".join(THIN))
    for size in (128, 256):
        for width in WIDTHS:
            histogram = Histogram(len(order))
            for truth in truths:
                height, breadth = truth.shape
                geometry = fitting.fit(np.zeros((height, breadth, 3), np.uint8), size, squash=True).geometry
                small = np.asarray(Image.fromarray(truth).resize((size, size), Image.Resampling.NEAREST))
                if width is None:
                    back = np.asarray(Image.fromarray(small).resize((breadth, height), Image.Resampling.NEAREST))
                else:
                    restoring.SMOOTHING = width
                    back = restoring.restore(small, geometry, height, breadth)
                histogram.add(truth, back)
            f1 = histogram.f1()
            name = "nearest" if width is None else f"sigma {width}"
            thin = " ".join(f"{f1[order.index(part)]:.4f}" for part in THIN)
            print(f"from {size}: {name:<10} {np.nanmean(f1[1:]):.4f}  {thin}")


if __name__ == "__main__":
    main()
