"""Pictures of a study of long-tailed classes: the methods' accuracies, and what the subclasses are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice, zip_longest
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

_GROUPS = ("all", "many", "medium", "few")
_PER_SUBCLASS = 10
# Subclasses with a row of pictures: the largest.
_ROWS = 14
_POINTS = 5000


def accuracy_figure(rows: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """A bar a method in each group of classes, with the standard deviation over the seeds.

    Args:
        rows: of `Study.rows`: `title` and `accuracy`, {group: {mean, sd}} as fractions.
        title: above it.
    """
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    axes = figure.add_subplot()
    width = 0.84 / len(rows)
    places = np.arange(len(_GROUPS))
    lowest = 1.0
    for i, row in enumerate(rows):
        means, spreads = (np.array([row["accuracy"][group][key] for group in _GROUPS]) for key in ("mean", "sd"))
        at = places + (i - (len(rows) - 1) / 2) * width
        axes.bar(at, 100 * means, 0.92 * width, yerr=100 * spreads, capsize=3, color=f"C{i % 10}", label=row["title"])
        # At the foot of the bars, clear of the spreads.
        for x, value in zip(at, means, strict=True):
            axes.annotate(
                f"{100 * value:.1f}",
                (x, 0),
                (0, 4),
                xycoords=axes.get_xaxis_transform(),
                textcoords="offset points",
                ha="center",
                fontsize=7,
                color="white",
            )
        lowest = min(lowest, float((means - spreads).min()))
    axes.set_xticks(places, [f"{group} classes" for group in _GROUPS])
    axes.set_ylim(max(0.0, 10 * np.floor(10 * lowest - 0.5)), 100)
    axes.set_ylabel("accuracy in test, %")
    axes.set_title(title, fontsize=11)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    figure.legend(loc="outside lower center", ncols=min(len(rows), 4), fontsize=9)
    return figure


def subclass_figure(
    embeddings: npt.NDArray[np.floating[Any]],
    classes: npt.NDArray[np.integer[Any]],
    subclasses: npt.NDArray[np.integer[Any]],
    picture: Callable[[int], npt.NDArray[np.uint8] | None],
    *,
    shown: int,
    names: Sequence[str],
    title: str,
) -> Figure:
    """All samples in two dimensions by class, those of one class by subclass, and pictures of each of its subclasses.

    Each projection is on the two directions in which its own samples vary the most (principal components).

    Args:
        embeddings: (N, D) unit vectors.
        classes: (N,) class of each sample.
        subclasses: (N,) subclass.
        picture: gives that of a sample, (h, w) or (h, w, 3) uint8 of any size, or None: the next sample is drawn then.
        shown: the class whose subclasses are drawn.
        names: of the classes.
        title: above it.
    """
    of_class = np.flatnonzero(classes == shown)
    parts, sizes = np.unique(subclasses[of_class], return_counts=True)
    rows = np.sort(np.argsort(-sizes, kind="stable")[:_ROWS])
    figure = Figure(figsize=(13, 4.6 + 0.62 * len(rows)), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=(4.6, 0.62 * len(rows)), squeeze=False)[:, 0]
    every, one = upper.subplots(1, 2)
    # Of very many samples some: the picture is full before.
    some = np.arange(0, len(classes), -(-len(classes) // _POINTS))
    flat = _principal(embeddings[some])
    colours = mpl.colormaps["tab20"]
    for label in np.unique(classes):
        here = classes[some] == label
        count = int((classes == label).sum())
        every.scatter(*flat[here].T, s=14, color=colours(int(label) % 20), label=f"{names[label]} ({count})")
    every.set_title("all samples, by class (how many)")
    every.legend(fontsize=7, ncols=2, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    flat = _principal(embeddings[of_class])
    for i, part in enumerate(parts):
        here = subclasses[of_class] == part
        one.scatter(*flat[here].T, s=22, color=colours(i % 20), label=f"{i + 1} ({here.sum()})")
    one.set_title(f"{names[shown]}, by subclass (how many)")
    one.legend(fontsize=7, ncols=2, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    for axes in (every, one):
        axes.set_xticks([])
        axes.set_yticks([])
    grid = lower.subplots(len(rows), _PER_SUBCLASS, squeeze=False)
    for line, i in zip(grid, rows, strict=True):
        members = of_class[subclasses[of_class] == parts[i]]
        centre = embeddings[members].mean(0)
        nearest = members[np.argsort(-(embeddings[members] @ centre))]
        drawn = islice((seen for sample in nearest if (seen := picture(int(sample))) is not None), _PER_SUBCLASS)
        for axes, seen in zip_longest(line, drawn):
            axes.set_xticks([])
            axes.set_yticks([])
            for side in axes.spines.values():
                side.set_color(colours(i % 20))
                side.set_linewidth(2)
            if seen is not None:
                axes.imshow(seen, cmap="gray", vmin=0, vmax=255)
            else:
                axes.axis("off")
        line[0].set_ylabel(str(i + 1), rotation=0, ha="right", va="center", color=colours(i % 20))
    lower.suptitle(f"the samples of {names[shown]} nearest to each subclass's centre", fontsize=10)
    figure.suptitle(title, fontsize=11)
    return figure


def _principal(points: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.floating[Any]]:
    """(N, D) -> (N, 2), on the two principal components; one sample has none and lies at 0."""
    centred = points - points.mean(0)
    directions = np.linalg.svd(centred, full_matrices=False)[2][:2]
    flat = np.zeros((len(points), 2))
    flat[:, : len(directions)] = centred @ directions.T
    return flat
