"""What a person looks at while a training runs: its curves, and a grid of predictions."""

from __future__ import annotations

import numpy as np
from PIL import Image

from segface_edge import imaging
from segface_edge.engines import Engine
from segface_edge.evaluation.contact_sheet import contact_sheet, write_sheet
from segface_edge.evaluation.datasets import DataSet
from segface_edge.evaluation.plots import save_figure, training_figure
from segface_edge.labels import LabelSet

from .state import RunFolder

_ROWS = 8


def write_pictures(folder: RunFolder, engine: Engine, data: DataSet, order: LabelSet) -> None:
    """Writes `curves.png` from the log, and `predictions.png`: photo, truth, prediction and error of 8 photos."""
    save_figure(training_figure(folder.rows()), folder.path / "curves.png")
    size = engine.spec.size
    step = max(1, len(data.samples) // _ROWS)
    chosen = data.samples[::step][:_ROWS]
    table = np.full(256, 255, np.uint8)
    table[: len(data.order)] = data.order.table_to(order)
    frames = [imaging.fit(imaging.load(sample.image), size, squash=True).pixels for sample in chosen]
    predictions = [engine.infer(frame[None]).labels[0] for frame in frames]
    truths = [
        np.asarray(
            Image.fromarray(table[sample.read_labels(data.order)]).resize((size, size), Image.Resampling.NEAREST)
        )
        for sample in chosen
    ]
    sheet = contact_sheet(
        list(zip(frames, truths, predictions, strict=True)), order, [sample.image.stem for sample in chosen]
    )
    write_sheet(sheet, folder.path / "predictions.png")
