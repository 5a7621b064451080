"""What a person looks at while a training runs: its curves, a grid of predictions, and what subclasses are."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from segface_edge.datasets.opening import DataSet
from segface_edge.engines import Engine
from segface_edge.evaluation.evaluate import common_order, compared
from segface_edge.labels import LabelSet
from segface_edge.pictures.geometry import UInt8Array
from segface_edge.plots.contact_sheet import contact_sheet, write_sheet
from segface_edge.plots.curves import training_figure
from segface_edge.plots.figure import save_figure
from segface_edge.plots.longtail import subclass_figure

from .contrast import Contrast
from .face_source import FaceSource
from .run_folder import RunFolder
from .run_log import read_log

_ROWS = 8
_REGION_SIDE = 72
_REGION_MARGIN = 0.2


def write_pictures(folder: RunFolder, engine: Engine, data: DataSet) -> None:
    """Writes `curves.png` from the log, and `predictions.png`: photo, truth, prediction and error of 8 photos."""
    save_figure(training_figure(read_log(folder.log)), folder.path / "curves.png")
    chosen = data.samples[:: max(1, len(data.samples) // _ROWS)][:_ROWS]
    rows = [(seen.image, seen.truth, seen.predicted) for seen in compared(engine, chosen, data.order, "paper")]
    sheet = contact_sheet(rows, common_order(engine, data.order), [sample.name for sample in chosen])
    write_sheet(sheet, folder.path / "predictions.png")


def write_subclasses(folder: RunFolder, contrast: Contrast, source: FaceSource, order: LabelSet) -> None:
    """Writes `subclasses.png`, once there are some: all regions by class, and those of the class that is spread the
    widest by subclass, cut out of their photos."""
    photos, labels = contrast.regions()
    if not len(photos):
        return
    embeddings = contrast.memory[photos, labels].float()

    def spread(label: int) -> float:
        own = embeddings[labels == label]
        return float(torch.linalg.vector_norm(own - own.mean(0), dim=1).mean())

    present: list[int] = torch.unique(labels).tolist()
    split = [label for label in present if contrast.split[label] > 1]
    shown = max(split or present, key=spread)
    figure = subclass_figure(
        embeddings.cpu().numpy(),
        labels.cpu().numpy(),
        contrast.subclasses[photos, labels].cpu().numpy(),
        lambda region: _cut_out(*source.photo(int(photos[region])), order, int(labels[region])),
        shown=shown,
        names=order.classes,
        title="regions of the training set: a photo's pixels of one class",
    )
    save_figure(figure, folder.path / "subclasses.png")


def _cut_out(photo: UInt8Array, labels: UInt8Array, order: LabelSet, label: int) -> UInt8Array | None:
    """The square around a region, all else darkened; None where it was pasted onto the photo: it is not there now."""
    inside = labels == label
    if not inside.any():  # it was mirrored then
        inside = labels == order.mirrored[label]
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    if not len(rows):
        return None
    dark = np.where(inside[:, :, None], photo, photo // 3)
    half = (0.5 + _REGION_MARGIN) * max(rows[-1] - rows[0], columns[-1] - columns[0], 8)
    y, x = (rows[0] + rows[-1]) / 2, (columns[0] + columns[-1]) / 2
    box = (int(x - half), int(y - half), int(x + half) + 1, int(y + half) + 1)
    return np.asarray(Image.fromarray(dark).crop(box).resize((_REGION_SIDE, _REGION_SIDE)))
