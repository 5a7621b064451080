"""What a person looks at while a training runs: its curves, and a grid of predictions."""

from __future__ import annotations

from segface_edge.engines import Engine
from segface_edge.evaluation.contact_sheet import contact_sheet, write_sheet
from segface_edge.evaluation.datasets import DataSet
from segface_edge.evaluation.evaluate import common_order, compared
from segface_edge.evaluation.plots import save_figure, training_figure

from .state import RunFolder

_ROWS = 8


def write_pictures(folder: RunFolder, engine: Engine, data: DataSet) -> None:
    """Writes `curves.png` from the log, and `predictions.png`: photo, truth, prediction and error of 8 photos."""
    save_figure(training_figure(folder.rows()), folder.path / "curves.png")
    chosen = data.samples[:: max(1, len(data.samples) // _ROWS)][:_ROWS]
    rows = [(seen.image, seen.truth, seen.predicted) for seen in compared(engine, chosen, data.order, "paper")]
    sheet = contact_sheet(rows, common_order(engine, data.order), [sample.name for sample in chosen])
    write_sheet(sheet, folder.path / "predictions.png")
