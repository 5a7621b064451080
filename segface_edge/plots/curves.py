"""The curves of a training run: losses, learning rate, and what evaluations found on its way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from segface_edge.errors import UsageError
from segface_edge.labels import RARE_PARTS

from .figure import PLAIN, floats, grid

# The entries of a training log that are losses: the total, then its parts.
LOSSES = ("loss", "ce", "dice", "lovasz", "distillation", "contrastive")


def training_figure(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """A training run: its losses, learning rate, mean F1, and F1 of the rare classes.

    Args:
        rows: entries of the log. `kind` "step": `step`, `lr` and any of `LOSSES`, numbers; `kind` "eval": `step`,
            `mean_f1`, `per_class_f1` {class: fraction or None}. Entries of another kind are passed over.

    Raises:
        UsageError: there is neither a step nor an evaluation.
    """
    steps = [row for row in rows if row.get("kind") == "step"]
    evals = [row for row in rows if row.get("kind") == "eval"]
    if not steps and not evals:
        raise UsageError("training log", "has no steps and no evaluations", "give the log of a run")
    at, evaluated = [row["step"] for row in steps], [row["step"] for row in evals]
    with mpl.rc_context(PLAIN):
        figure = Figure((12, 7.5), layout="constrained")
        losses, rate, mean, rare = figure.subplots(2, 2, sharex=True).reshape(-1)
        for i, name in enumerate(LOSSES):
            _curve(losses, at, floats(row.get(name) for row in steps), name, f"C{i - 1}" if i else "0.2")
        losses.set_title("loss, and its parts before weighting", fontsize=11)
        _curve(rate, at, floats(row.get("lr") for row in steps), "lr", "0.2", smooth=False)
        rate.set_title("learning rate", fontsize=11)
        f1 = floats(row.get("mean_f1") for row in evals) * 100
        _curve(mean, evaluated, f1, "mean", "0.2", smooth=False, marker="o")
        best = f" (best {np.nanmax(f1):.1f} at step {evaluated[int(np.nanargmax(f1))]})" if mean.lines else ""
        mean.set_title(f"mean F1, points of 100{best}", fontsize=11)
        for i, name in enumerate(RARE_PARTS):
            values = floats((row.get("per_class_f1") or {}).get(name) for row in evals) * 100
            _curve(rare, evaluated, values, name, f"C{i}", smooth=False, marker="o")
        rare.set_title("F1 of the rare classes, points of 100", fontsize=11)
        for axes in (losses, rate, mean, rare):
            grid(axes)
            if not axes.lines:
                axes.text(0.5, 0.5, "nothing yet", transform=axes.transAxes, ha="center", color="0.5")
                axes.set_yticks([])
        if rate.lines:
            rate.set_ylim(0, 1.05 * rate.dataLim.ymax or 1)
        for axes in (mean, rare):
            axes.set_xlabel("step")
        for axes in (losses, rare):
            if axes.lines:
                axes.legend(fontsize=9)
    return figure


def _curve(
    axes: Axes,
    at: Sequence[int],
    values: npt.NDArray[np.float64],
    name: str,
    colour: str,
    *,
    smooth: bool = True,
    marker: str = "",
) -> None:
    """A series, if it has any value; `smooth` draws a long one pale, with its running mean over it."""
    known = np.isfinite(values)
    if not known.any():
        return
    span = len(values) // 50
    if not smooth or span < 2:
        axes.plot(at, values, color=colour, label=name, marker=marker, markersize=4)
        return
    axes.plot(at, values, color=colour, alpha=0.25, linewidth=0.8)
    window = np.ones(span)
    with np.errstate(invalid="ignore"):  # no value in a whole window: a gap
        running = np.convolve(np.where(known, values, 0), window, "same") / np.convolve(known, window, "same")
    axes.plot(at, running, color=colour, label=name)
