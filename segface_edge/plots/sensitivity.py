"""The sensitivities of a graph's nodes as a picture."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

_LOWER, _HIGHER = "#4477aa", "#cc6677"


def sensitivity_figure(tables: Mapping[str, tuple[Mapping[str, float], Collection[str], str, str]]) -> Figure:
    """One row a table: a bar a node, in order of the graph, on a logarithmic scale.

    Args:
        tables: {title: ({node: error of the logits when it alone is lowered}, names of the nodes that stay higher, the
            lower precision, the higher)}.
    """
    figure = Figure(figsize=(11, 3.4 * len(tables)), layout="constrained")
    for row, (title, (found, higher, low, high)) in enumerate(tables.items(), 1):
        axes = figure.add_subplot(len(tables), 1, row)
        errors = np.array(list(found.values()))
        finite = errors[np.isfinite(errors) & (errors > 0)]
        floor = float(finite.min()) / 2 if len(finite) else 1e-9
        ceiling = float(finite.max()) * 2 if len(finite) else 1.0
        colours = [_HIGHER if name in higher else _LOWER for name in found]
        # What is not finite reaches the top; what changes nothing has no bar.
        axes.bar(range(len(found)), np.where(np.isfinite(errors), errors, ceiling), width=1.0, color=colours)
        axes.set_yscale("log")
        axes.set_ylim(floor, ceiling)
        axes.set_xlim(-0.5, max(len(found), 1) - 0.5)
        # Plain numbers: figures are saved without mathematical text.
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0e}"))
        axes.set_title(title, loc="right")
        axes.set_xlabel("nodes, from the frame to the labels")
        axes.set_ylabel("error of the logits")
        axes.legend(
            handles=[Patch(color=_LOWER, label=low), Patch(color=_HIGHER, label=f"stays {high}")],
            loc="lower left",
            bbox_to_anchor=(0, 1),
            ncols=2,
            frameon=False,
        )
    return figure
