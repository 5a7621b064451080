"""Figures of evaluations: confusions, F1 by class, accuracy over the input size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import NullLocator, PercentFormatter

from segface_edge.errors import UsageError
from segface_edge.evaluation.evaluate import Evaluation

from .figure import PLAIN, floats, grid, short_name

# Shares below this have no number in their cell.
_SMALLEST_SHARE = 0.001
_ABSENT = "0.85"


def confusion_figure(evaluation: Evaluation) -> Figure:
    """What becomes of each class's pixels: rows of the confusion matrix as shares of their sum.

    Colour grows with the square root, so that confusions of a few percent show. Numbers are percent; rows of classes
    that the truth does not have are grey.
    """
    counts = evaluation.histogram.counts
    total = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, total, out=np.full(counts.shape, np.nan), where=total > 0)
    classes = evaluation.order.classes
    with mpl.rc_context(PLAIN):
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
            f"{short_name(Path(evaluation.model).name)}: where each class's pixels go, in percent\n"
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
    with mpl.rc_context(PLAIN):
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
            names.append(f"{_points(mean)}  {short_name(name)}")
        figure.legend(handles, names, title="mean F1 (dashed)", loc="outside lower center", fontsize=9)
        axes.set_xticks(places, classes[1:], rotation=45, ha="right", rotation_mode="anchor")
        axes.set_xlim(-0.6, len(places) - 0.4)
        axes.set_ylim(0, 104)
        axes.set_ylabel("F1, points of 100")
        axes.set_title("F1 by class  (– : in neither labels nor prediction)", fontsize=11)
        grid(axes)
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
    with mpl.rc_context(PLAIN):
        figure = Figure((11.5 if latency else 6.5, 4.5), layout="constrained")
        panels = figure.subplots(1, 2 if latency else 1, sharey=True, squeeze=False)[0]
        handles = []
        for i, (name, by_size) in enumerate(scores.items()):
            own = sorted(by_size)
            f1 = floats(by_size[size] for size in own) * 100
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
            grid(axes)
        panels[0].legend(handles, [short_name(name) for name in scores], loc="lower right", fontsize=9)
        figure.suptitle("Accuracy over input size", fontsize=11)
    return figure


def front_figure(
    points: Mapping[str, Sequence[tuple[float, float]]],
    lines: Mapping[str, Sequence[float]],
    titles: Sequence[str],
    *,
    span: str = "a whole frame",
) -> Figure:
    """Mean F1 over the time of a frame: a panel for each way of running, a point for each model.

    Args:
        points: {name: (milliseconds, mean F1 as a fraction) of each panel}.
        lines: {name: milliseconds of each panel} of what has no F1.
        titles: of the panels.
        span: what the time is of.

    Raises:
        UsageError: there is no model.
    """
    if not points:
        raise UsageError("F1 over milliseconds", "has no models", "give one or more")
    with mpl.rc_context(PLAIN):
        figure = Figure((5.6 * len(titles), 4.6), layout="constrained")
        panels = figure.subplots(1, len(titles), sharey=True, squeeze=False)[0]
        colours = {name: f"C{i % 10}" for i, name in enumerate(points)}
        for panel, (axes, title) in enumerate(zip(panels, titles, strict=True)):
            # From left to right, in turn above and below: two of the same F1 may stand side by side.
            for i, (name, found) in enumerate(sorted(points.items(), key=lambda point: point[1][panel])):
                milliseconds, f1 = found[panel]
                axes.plot(milliseconds, 100 * f1, "o", color=colours[name], markersize=8)
                _note(axes, milliseconds, 100 * f1, f"{name}\n{100 * f1:.1f}, {milliseconds:.0f} ms", below=i % 2 == 1)
            for name, times in lines.items():
                axes.axvline(times[panel], color="grey", linestyle="--", linewidth=1)
                axes.annotate(
                    name, (times[panel], 0.02), (-4, 0), textcoords="offset points", xycoords=("data", "axes fraction"),
                    rotation=90, ha="right", fontsize=8, color="grey",
                )  # fmt: skip
            axes.set_title(title, fontsize=10)
            axes.set_xlabel("ms a frame")
            axes.margins(x=0.25, y=0.25)
            axes.set_xlim(left=0)
            grid(axes)
        panels[0].set_ylabel("mean F1, points of 100")
        figure.suptitle(f"Accuracy over the time of {span}: up and to the left is better", fontsize=11)
    return figure


def _note(axes: Axes, x: float, y: float, text: str, *, below: bool = False) -> None:
    if math.isfinite(y):
        place: dict[str, Any] = {"xytext": (0, -6), "va": "top"} if below else {"xytext": (0, 6)}
        axes.annotate(text, (x, y), textcoords="offset points", ha="center", fontsize=8, **place)


def _percent(share: float) -> str:
    return f"{100 * share:.0f}" if share >= 0.0995 else f"{100 * share:.1f}"


def _points(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
