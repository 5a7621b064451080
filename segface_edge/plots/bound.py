"""Measured times beside the bounds that they cannot go below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from segface_edge.errors import UsageError

from .figure import PLAIN, short_name

_MEASURED, _BOUND = "#bbccee", "#4477aa"


def bound_figure(panels: Mapping[str, Sequence[tuple[str, float, float]]]) -> Figure:
    """A panel for each way of running, in it for each graph what was measured and, inside that, the bound.

    Args:
        panels: {title: (graph, its bound, its quickest measured time), both in milliseconds}; the same graphs in each.

    Raises:
        UsageError: there is nothing to draw.
    """
    if not any(panels.values()):
        raise UsageError("times over bounds", "has no graphs", "give one or more")
    with mpl.rc_context(PLAIN):
        most = max(len(rows) for rows in panels.values())
        figure = Figure((1.6 + 4.4 * len(panels), 1.4 + 0.42 * most), layout="constrained")
        for axes, (title, rows) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
            places = np.arange(len(rows))
            names, bounds, measured = zip(*rows, strict=True)
            axes.barh(places, measured, height=0.62, color=_MEASURED, label="measured, the quickest call")
            axes.barh(places, bounds, height=0.62, color=_BOUND, label="bound")
            for place, low, time in zip(places, bounds, measured, strict=True):
                axes.annotate(
                    f"{time / low:.2f} times",
                    (time, place),
                    (4, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=8,
                )
            axes.set_yticks(places, [short_name(name) for name in names], fontsize=9)
            axes.invert_yaxis()
            # Room for the text behind the longest bar.
            axes.set_xlim(0, 1.22 * max(*bounds, *measured))
            axes.set_xlabel("ms a face")
            axes.set_title(title, fontsize=10)
            axes.grid(axis="x", color="0.9")
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
            if axes is not figure.axes[0]:
                axes.tick_params(labelleft=False)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
        figure.suptitle("Measured times, and the bounds that they cannot go below", fontsize=11)
    return figure
