"""Figures of evaluations and training runs. Each function returns a figure; `save_figure` writes it.

Figures are made without pyplot: no window, no global state, whatever matplotlib is set to.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import NullLocator, PercentFormatter

from segface_edge.errors import UsageError
from segface_edge.evaluation.evaluate import Evaluation
from segface_edge.files import write_whole
from segface_edge.labels import RARE_PARTS

SUFFIXES = (".png", ".svg", ".pdf")
# The entries of a training log that are losses: the total, then its parts.
LOSSES = ("loss", "ce", "dice", "lovasz", "distillation", "contrastive")
# Shares below this have no number in their cell.
_SMALLEST_SHARE = 0.001
_ABSENT = "0.85"
_LONGEST_NAME = 40
# Names of files and classes are shown as they are: a dollar sign starts no formula.
_PLAIN: Any = {"text.parse_math": False, "svg.hashsalt": "segface-edge"}


def confusion_figure(evaluation: Evaluation) -> Figure:
    """What becomes of each class's pixels: rows of the confusion matrix as shares of their sum.

    Colour grows with the square root, so that confusions of a few percent show. Numbers are percent; rows of classes
    that the truth does not have are grey.
    """
    counts = evaluation.histogram.counts
    total = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, total, out=np.full(counts.shape, np.nan), where=total > 0)
    classes = evaluation.order.classes
    with mpl.rc_context(_PLAIN):
        side = 2.5 + 0.48 * len(classes)
        figure = Figure((side + 0.6, side), layout="constrained")
        axes = figure.add_subplot()
        colours = mpl.colormaps["viridis"].with_extremes(bad=_ABSENT)
        image = axes.imshow(np.ma.masked_invalid(shares), colours, PowerNorm(0.5, 0, 1))
        for (row, column), share in np.ndenumerate(shares):
            if share >= _SMALLEST_SHARE:
                axes.text(column, row, _percent(share), ha="center", va="center", fontsize=7,
                          color="black" if share > 0.5 else "white")  # fmt: skip
        places = range(len(classes))
        axes.set_xticks(places, classes, rotation=90)
        axes.set_yticks(places, classes)
        axes.set_xlabel("prediction")
        axes.set_ylabel("truth")
        axes.set_title(
            f"{_short(Path(evaluation.model).name)}: where each class's pixels go, in percent\n"
            f"{evaluation.images} photos, {evaluation.size} x {evaluation.size}, protocol {evaluation.protocol}",
            fontsize=11,
        )
        bar = figure.colorbar(image, ax=axes, shrink=0.7, ticks=[0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1])
        bar.ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        bar.ax.yaxis.set_minor_locator(NullLocator())
    return figure


def per_class_figure(evaluations: Mapping[str, Evaluation]) -> Figure:
    """F1 of each class but background as bars, evaluations side by side, and each one's mean as a line.

    Args:
        evaluations: {name in the legend: evaluation}; all in the same classes.

    Raises:
        UsageError: there is none, or they differ in their classes.
    """
    if not evaluations:
        raise UsageError("bars of F1", "have no evaluation", "give one or more")
    classes = next(iter(evaluations.values())).order.classes
    for name, evaluation in evaluations.items():
        if evaluation.order.classes != classes:
            raise UsageError(
                name, f"is in the classes of '{evaluation.order.name}', the first is not", "compare like with like"
            )
    places = np.arange(len(classes) - 1)
    width = 0.84 / len(evaluations)
    size = {1: 8, 2: 7}.get(len(evaluations), 6)
    with mpl.rc_context(_PLAIN):
        figure = Figure((max(7.0, 0.62 * len(classes)), 5.0), layout="constrained")
        axes = figure.add_subplot()
        handles, names = [], []
        for i, (name, evaluation) in enumerate(evaluations.items()):
            f1 = evaluation.histogram.f1()[1:]
            at = places + (i - (len(evaluations) - 1) / 2) * width
            colour = f"C{i % 10}"
            axes.bar(at, np.nan_to_num(100 * f1), 0.92 * width, color=colour)
            for x, value in zip(at, f1, strict=True):
                if np.isnan(value):
                    axes.text(x, 0.5, "–", ha="center", fontsize=8, color="0.4")
                elif len(evaluations) <= 3:
                    axes.text(x, 100 * value + 0.7, f"{100 * value:.0f}", ha="center", fontsize=size)
            mean = evaluation.mean_f1()
            if mean is not None:
                axes.axhline(100 * mean, color=colour, linestyle="--", linewidth=1)
            handles.append(Patch(color=colour))
            names.append(f"{_points(mean)}  {_short(name)}")
        figure.legend(handles, names, title="mean F1 (dashed)", loc="outside lower center", fontsize=9)
        axes.set_xticks(places, classes[1:], rotation=45, ha="right", rotation_mode="anchor")
        axes.set_xlim(-0.6, len(places) - 0.4)
        axes.set_ylim(0, 104)
        axes.set_ylabel("F1, points of 100")
        axes.set_title("F1 by class  (– : in neither labels nor prediction)", fontsize=11)
        _grid(axes)
    return figure


def size_figure(
    scores: Mapping[str, Mapping[int, float | None]], latency: Mapping[str, Mapping[int, float]] | None = None
) -> Figure:
    """Mean F1 over the input size, a line for each model; with latencies, over those as well.

    Args:
        scores: {name in the legend: {input side: mean F1 as a fraction}}; None leaves a gap.
        latency: {name: {input side: milliseconds}}, as far as known.

    Raises:
        UsageError: there is no size at all.
    """
    sizes = sorted({size for by_size in scores.values() for size in by_size})
    if not sizes:
        raise UsageError("accuracy over input size", "has no sizes", "give one or more")
    with mpl.rc_context(_PLAIN):
        figure = Figure((11.5 if latency else 6.5, 4.5), layout="constrained")
        panels = figure.subplots(1, 2 if latency else 1, sharey=True, squeeze=False)[0]
        handles = []
        for i, (name, by_size) in enumerate(scores.items()):
            own = sorted(by_size)
            f1 = _floats(by_size[size] for size in own) * 100
            handles += panels[0].plot(own, f1, "o-", color=f"C{i % 10}")
            for size, value in zip(own, f1, strict=True):
                _note(panels[0], size, value, f"{value:.1f}")
            times = (latency or {}).get(name, {})
            timed = [(times[size], value, size) for size, value in zip(own, f1, strict=True) if size in times]
            if timed:
                milliseconds, values, _ = zip(*timed, strict=True)
                panels[1].plot(milliseconds, values, "o-", color=f"C{i % 10}")
                for time, value, size in timed:
                    _note(panels[1], time, value, f"{size} px")
        panels[0].set_xticks(sizes, [str(size) for size in sizes])
        panels[0].set_xlabel("input side, pixels")
        panels[0].set_ylabel("mean F1, points of 100")
        if latency:
            panels[1].set_xlabel("latency, ms")
        for axes in panels:
            axes.margins(x=0.1, y=0.2)
            _grid(axes)
        panels[0].legend(handles, [_short(name) for name in scores], loc="lower right", fontsize=9)
        figure.suptitle("Accuracy over input size", fontsize=11)
    return figure


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
    with mpl.rc_context(_PLAIN):
        figure = Figure((12, 7.5), layout="constrained")
        losses, rate, mean, rare = figure.subplots(2, 2, sharex=True).reshape(-1)
        for i, name in enumerate(LOSSES):
            _curve(losses, at, _floats(row.get(name) for row in steps), name, f"C{i - 1}" if i else "0.2")
        losses.set_title("loss, and its parts before weighting", fontsize=11)
        _curve(rate, at, _floats(row.get("lr") for row in steps), "lr", "0.2", smooth=False)
        rate.set_title("learning rate", fontsize=11)
        f1 = _floats(row.get("mean_f1") for row in evals) * 100
        _curve(mean, evaluated, f1, "mean", "0.2", smooth=False, marker="o")
        best = f" (best {np.nanmax(f1):.1f} at step {evaluated[int(np.nanargmax(f1))]})" if mean.lines else ""
        mean.set_title(f"mean F1, points of 100{best}", fontsize=11)
        for i, name in enumerate(RARE_PARTS):
            values = _floats((row.get("per_class_f1") or {}).get(name) for row in evals) * 100
            _curve(rare, evaluated, values, name, f"C{i}", smooth=False, marker="o")
        rare.set_title("F1 of the rare classes, points of 100", fontsize=11)
        for axes in (losses, rate, mean, rare):
            _grid(axes)
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


def ablation_figure(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """What each ingredient brings: mean F1 over all classes and over the rare ones, against the first row.

    Args:
        rows: each with `ingredient`, its name, and `runs`, at least one, each with `mean_f1` and `rare_f1` (fractions).

    Raises:
        UsageError: fewer than two rows: nothing is compared.
    """
    if len(rows) < 2:
        raise UsageError("ablation", f"has {len(rows)} rows", "give a baseline and at least one ingredient")
    with mpl.rc_context(_PLAIN):
        figure = Figure(figsize=(10, 1.2 + 0.5 * len(rows)), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        titles = {"mean_f1": "mean F1", "rare_f1": "F1 of glasses, hats, earrings, necklaces"}
        for axes, (key, title) in zip(panels, titles.items(), strict=True):
            values = [[100 * float(run[key]) for run in row["runs"]] for row in rows]
            base = sum(values[0]) / len(values[0])
            for place, found in enumerate(values):
                mean = sum(found) / len(found)
                colour = "0.6" if place == 0 else "C2" if mean >= base else "C3"
                axes.barh(place, mean - base, color=colour, height=0.6)
                axes.plot([value - base for value in found], [place] * len(found), "k|", markersize=10)
                axes.annotate(
                    f"{mean:.1f}",
                    (max(0.0, mean - base, *(value - base for value in found)), place),
                    (6, -3),
                    textcoords="offset points",
                    fontsize=8,
                )
            axes.axvline(0, color="0.3", linewidth=0.8)
            axes.set_title(title, fontsize=10)
            axes.set_xlabel("points of 100 against the baseline (bar: mean, lines: seeds)", fontsize=8)
            axes.margins(x=0.25)
            _grid(axes)
        panels[0].set_yticks(range(len(rows)), [_short(str(row["ingredient"])) for row in rows])
        panels[0].invert_yaxis()
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a figure, whole or not at all; the suffix names the format: .png, .svg or .pdf.

    Raises:
        UsageError: another suffix.
        InputError: the file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(path, f"'{path.suffix}' is no format of figures", f"use {', '.join(SUFFIXES)}")
    # The same figure gives the same bytes on any day.
    undated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(suffix)
    content = io.BytesIO()
    with mpl.rc_context(_PLAIN), warnings.catch_warnings():
        # A file name may be in letters that the font lacks: boxes are drawn for them.
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        figure.savefig(content, format=suffix[1:], dpi=110, metadata=undated)
    write_whole(path, content.getvalue())


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


def _grid(axes: Axes) -> None:
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _note(axes: Axes, x: float, y: float, text: str) -> None:
    if math.isfinite(y):
        axes.annotate(text, (x, y), (0, 6), textcoords="offset points", ha="center", fontsize=8)


def _floats(values: Iterable[float | None]) -> npt.NDArray[np.float64]:
    """NaN for None."""
    return np.array([math.nan if value is None else value for value in values], np.float64)


def _percent(share: float) -> str:
    return f"{100 * share:.0f}" if share >= 0.0995 else f"{100 * share:.1f}"


def _points(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _short(name: str) -> str:
    """The end of a long name: folders come first, and tell less."""
    return name if len(name) <= _LONGEST_NAME else f"…{name[1 - _LONGEST_NAME :]}"
