"""Figures of robustness: F1 under corruptions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from segface_edge.errors import UsageError

from .figure import PLAIN, floats, grid, short_name

_COLUMNS = 4


def robustness_figure(documents: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Mean F1 over strength, a panel for each corruption, a line for each model; that of rare parts dashed.

    Args:
        documents: {name in the legend: what `Robustness.to_dict` gives}; a corruption that one lacks has no line there.

    Raises:
        UsageError: there is no corruption at all.
    """
    names = list(dict.fromkeys(row["corruption"] for one in documents.values() for row in one["corrupted"]))
    if not names:
        raise UsageError("F1 under corruptions", "has no corruption", "give one or more")
    columns = min(_COLUMNS, len(names))
    rows = math.ceil(len(names) / columns)
    with mpl.rc_context(PLAIN):
        figure = Figure((1.2 + 2.6 * columns, 1.4 + 2.2 * rows), layout="constrained")
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).reshape(-1)
        handles: list[Line2D] = []
        for number, document in enumerate(documents.values()):
            colour = f"C{number % 10}"
            clean = document["clean"]
            for axes, name in zip(panels, names, strict=False):
                found = [row for row in document["corrupted"] if row["corruption"] == name]
                strengths = [0, *(row["strength"] for row in found)]
                if not found:
                    continue
                for key, style in (("mean_f1", "o-"), ("rare_f1", ".--")):
                    f1 = 100 * floats([clean[key], *(row[key] for row in found)])
                    (line,) = axes.plot(strengths, f1, style, color=colour, linewidth=1.3, markersize=4)
                    if key == "mean_f1" and len(handles) == number:
                        handles.append(line)
        for axes, name in zip(panels, names, strict=False):
            axes.set_title(name, fontsize=10)
            axes.set_xticks([0, 1, 2, 3], ["clean", "1", "2", "3"])
            axes.set_ylim(0, 100)
            grid(axes)
        for axes in panels[len(names) :]:
            axes.set_visible(False)
        legend = [f"{short_name(name)}  (mean loss {_points(one['mean_loss'])})" for name, one in documents.items()]
        figure.legend(handles, legend, loc="outside lower center", fontsize=9)
        figure.supylabel("F1, points of 100", fontsize=10)
        figure.suptitle("F1 under corruptions, by strength  (dashed: glasses, hats, earrings, necklaces)", fontsize=11)
    return figure


def _points(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
