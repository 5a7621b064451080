"""Where the time of a run goes, as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

# Kinds of operators with a colour of their own, those that take most first; all others share the last.
_COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377")
_OTHERS = "#bbbbbb"


def layers_figure(profiles: Mapping[str, Mapping[str, Any]]) -> Figure:
    """A panel for each engine: a bar for each block of the network, in order, divided by kinds of operators; beside it
    its share, and where they were counted its multiplications a second.

    Args:
        profiles: {title: `layers` of a report of `segface-edge bench --profile`}.
    """
    heights = [0.36 * len(profile["blocks"]) + 1.5 for profile in profiles.values()]
    figure = Figure(figsize=(9, sum(heights)), layout="constrained")
    panels = figure.subplots(len(profiles), 1, squeeze=False, height_ratios=heights)[:, 0]
    longest = max(row["ms"] for profile in profiles.values() for row in profile["blocks"])
    for axes, (title, profile) in zip(panels, profiles.items(), strict=True):
        blocks = [row["block"] for row in profile["blocks"]]
        named = [row["kind"] for row in profile["kinds"][: len(_COLOURS)]]
        groups = [(kind, colour, (kind,)) for kind, colour in zip(named, _COLOURS, strict=False)]
        rest = tuple(row["kind"] for row in profile["kinds"][len(_COLOURS) :])
        left = [0.0] * len(blocks)
        for label, colour, kinds in [*groups, ("others", _OTHERS, rest)]:
            widths = [
                sum(row["ms"] for row in profile["layers"] if row["block"] == block and row["kind"] in kinds)
                for block in blocks
            ]
            axes.barh(blocks, widths, left=left, color=colour, label=label)
            left = [start + width for start, width in zip(left, widths, strict=True)]
        for at, row in enumerate(profile["blocks"]):
            rate = f", {row['macs'] / row['ms'] / 1e6:.0f} G mult./s" if row["macs"] and row["ms"] else ""
            axes.text(row["ms"] + longest / 100, at, f"{row['share']:.0%}{rate}", va="center", fontsize=8)
        axes.set_xlim(0, 1.22 * longest)
        axes.invert_yaxis()
        axes.set_title(f"{title.rpartition('/')[2]}: {profile['run_ms']:.1f} ms a run", loc="left")
        axes.set_xlabel("ms")
        axes.legend(loc="lower right", frameon=False, fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    return figure
