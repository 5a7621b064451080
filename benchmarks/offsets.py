"""What one constant a class, added to its logits, would bring: `python benchmarks/offsets.py --choose DIR --judge DIR`.

Cross entropy is not F1: a class that is found too often or too seldom could be put right without training. Constants
are chosen on photos that were trained on (`--choose`, every N-th) for the highest mean F1, one class after the other
until none helps, and judged on photos that were not (`--judge`); then chosen on those themselves: as good as it
can get. Every fourth pixel of the network's square counts. Nothing is written: it is a line of a model's card.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from segface_edge import zoo
from segface_edge.datasets.opening import open_dataset
from segface_edge.evaluation.histogram import Histogram
from segface_edge.labels import label_set
from segface_edge.network.checkpoint import load_segface, read_checkpoint
from segface_edge.network.deploy import DeployGraph
from segface_edge.pictures import fitting

ORDER = "celebamask-hq"
STEPS = (0.6, 0.3)
PIXELS = 3_000_000
Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint8]


@click.command(help=__doc__)
@click.option("--choose", "chosen_on", multiple=True, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--judge", "judged_on", multiple=True, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--every", default=9, show_default=True, help="Of the photos to choose on.")
@click.option("--checkpoint", type=click.Path(path_type=Path, exists=True), default=zoo.DEFAULT_CHECKPOINT)
@click.option("--imgsz", default=320, show_default=True)
def main(chosen_on: tuple[Path, ...], judged_on: tuple[Path, ...], every: int, checkpoint: Path, imgsz: int) -> None:
    """Choose, judge."""
    torch.set_num_threads(1)
    model = load_segface(read_checkpoint(checkpoint), image_size=imgsz, source=checkpoint).eval()
    graph = DeployGraph(model, "logits").eval()
    choose, judge = seen(graph, chosen_on, every, imgsz), seen(graph, judged_on, 1, imgsz)
    nothing = np.zeros(choose[0].shape[1], np.float32)
    offsets = chosen(*some(*choose))
    best = chosen(*some(*judge))
    for title, photos, values in (
        ("trained on", choose, nothing),
        ("trained on, with its own constants", choose, offsets),
        ("not trained on", judge, nothing),
        ("not trained on, with those constants", judge, offsets),
        ("not trained on, with the best for itself", judge, best),
    ):
        click.echo(f"{title}: mean F1 {100 * mean_f1(*photos, values):.2f}")
    names = label_set("segface").classes
    click.echo("constants: " + ", ".join(f"{names[i]} {v:+.1f}" for i, v in enumerate(offsets) if v))


def seen(graph: DeployGraph, folders: tuple[Path, ...], every: int, size: int) -> tuple[Floats, Labels]:
    """Logits (P, K) and labels (P,) of every fourth pixel."""
    disk, target = label_set(ORDER), label_set("segface")
    table = np.full(256, 255, np.uint8)
    table[: len(disk)] = disk.table_to(target)
    logits, labels = [], []
    for folder in folders:
        for sample in open_dataset(folder, order=disk).samples[::every]:
            photo, truth = sample.read(disk)
            square = np.array(fitting.fit(photo, size, squash=True).pixels)
            with torch.inference_mode():
                (found,) = graph(torch.from_numpy(square)[None])
            logits.append(found[0, :, ::2, ::2].flatten(1).T.half().numpy())
            small = np.asarray(Image.fromarray(truth).resize((size, size), Image.Resampling.NEAREST))
            labels.append(table[small[::2, ::2]].ravel())
    return np.concatenate(logits), np.concatenate(labels)


def some(logits: Floats, labels: Labels) -> tuple[Floats, Labels]:
    """At most `PIXELS` of them, drawn by a fixed seed."""
    drawn = np.random.default_rng(0).permutation(len(labels))[:PIXELS]
    return logits[drawn], labels[drawn]


def mean_f1(logits: Floats, labels: Labels, offsets: Floats) -> float:
    """Mean F1 without background of the logits with their constants."""
    histogram = Histogram(logits.shape[1])
    for start in range(0, len(labels), PIXELS // 8):
        part = slice(start, start + PIXELS // 8)
        predicted = (logits[part].astype(np.float32) + offsets).argmax(1).astype(np.uint8)
        histogram.add(labels[part], predicted)
    return float(np.nanmean(histogram.f1()[1:]))


def chosen(logits: Floats, labels: Labels) -> Floats:
    """The constants that climb furthest, class by class, the last (the rare ones) first."""
    offsets = np.zeros(logits.shape[1], np.float32)
    best = mean_f1(logits, labels, offsets)
    for step in STEPS:
        for index in range(len(offsets) - 1, 0, -1):
            for signed in (step, -step):
                while True:
                    tried = offsets.copy()
                    tried[index] += signed
                    if (found := mean_f1(logits, labels, tried)) <= best + 1e-5:
                        break
                    best, offsets = found, tried
    return offsets


if __name__ == "__main__":
    main()
