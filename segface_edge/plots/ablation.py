"""The ingredients of a training compared: what each brings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from segface_edge.errors import UsageError

from .figure import PLAIN, grid, short_name


def ablation_figure(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """What each ingredient brings: mean F1 over all classes and over the rare ones, against the first row.

    Args:
        rows: each with `ingredient`, its name, and `runs`, at least one, each with `mean_f1` and `rare_f1` (fractions).

    Raises:
        UsageError: fewer than two rows: nothing is compared.
    """
    if len(rows) < 2:
        raise UsageError("ablation", f"has {len(rows)} rows", "give a baseline and at least one ingredient")
    with mpl.rc_context(PLAIN):
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
            grid(axes)
        panels[0].set_yticks(range(len(rows)), [short_name(str(row["ingredient"])) for row in rows])
        panels[0].invert_yaxis()
    return figure
