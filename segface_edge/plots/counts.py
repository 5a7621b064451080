"""How many label maps show each class, drawn."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from segface_edge.datasets.findings import Report

_INK, _PALE, _GRID = "#1f2933", "#7b8794", "#e4e7eb"
# Told apart by those who do not see red and green (Okabe and Ito), and in grey.
_COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7")


def class_counts_figure(report: Report) -> Figure:
    """A bar a class and split, most frequent class first, on a logarithmic scale, so that rare classes show.

    Background, which every label map has, is left out.
    """
    splits = report.splits
    images = np.array([split.images[1:] for split in splits])
    by_count = sorted(range(images.shape[1]), key=lambda i: (-int(images[:, i].sum()), i))
    names = [report.order.classes[1 + i] for i in by_count]
    counts = images[:, by_count]
    most = max(int(counts.max()), 1)
    height = 0.8 / len(splits)
    figure = Figure(figsize=(8, 1.4 + len(names) * (0.2 + 0.13 * len(splits))), layout="constrained")
    axes = figure.add_subplot()
    rows = np.arange(len(names))
    for i, split in enumerate(splits):
        places = rows + (i - (len(splits) - 1) / 2) * height
        axes.barh(
            places,
            np.maximum(counts[i], 0.5),  # the axis starts there: none is no bar
            height * 0.9,
            color=_COLORS[i % len(_COLORS)],
            label=f"{split.name}, {split.pairs:,} photos",
        )
        for place, count in zip(places, counts[i], strict=True):
            axes.annotate(
                f"{count:,}" if count else "none",
                (max(count, 0.5), place),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
                color=_INK if count else _PALE,
            )
    axes.set_xscale("log")
    axes.set_xlim(0.5, most * 2)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_yticks(rows, names, fontsize=10, color=_INK)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel("label maps that show the class (logarithmic)", color=_PALE)
    axes.tick_params(length=0, which="both")
    axes.tick_params(axis="x", colors=_PALE, labelsize=9)
    axes.grid(axis="x", color=_GRID)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.set_title(report.root.resolve().name, loc="left", fontsize=13, color=_INK, pad=28)
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=len(splits), frameon=False, borderpad=0, borderaxespad=0.4,
        handlelength=1, handleheight=1, labelcolor=_INK,
    )  # fmt: skip
    return figure
