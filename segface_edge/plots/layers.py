"""Where the time of a run goes, as a picture, and as a figure of a benchmark's page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from .inline import PAPER, SERIES, STYLE, WIDE

# Kinds of operators with a colour of their own, those that take most first; all others share the last.
_COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb")
OTHERS = "others"


def layers_figure(profiles: Mapping[str, Mapping[str, Any]]) -> Figure:
    """A panel for each engine: a bar for each block of the network, in order, divided by kinds of operators; beside it
    its share, and where they were counted its multiplications a second and its share of the roofline.

    Args:
        profiles: {title: `layers` of a report of `segface-edge bench --profile`}.
    """
    heights = [0.36 * len(profile["blocks"]) + 1.5 for profile in profiles.values()]
    figure = Figure(figsize=(9, sum(heights)), layout="constrained")
    panels = figure.subplots(len(profiles), 1, squeeze=False, height_ratios=heights)[:, 0]
    longest = max(row["ms"] for profile in profiles.values() for row in profile["blocks"])
    colours = kind_colours(list(profiles.values()), _COLOURS)
    for axes, (title, profile) in zip(panels, profiles.items(), strict=True):
        blocks = [row["block"] for row in profile["blocks"]]
        for label, colour, left, widths in _parts(profile, colours):
            axes.barh(blocks, widths, left=left, color=colour, label=label)
        for at, row in enumerate(profile["blocks"]):
            axes.text(row["ms"] + longest / 100, at, f"{row['share']:.0%}{_rate(row)}", va="center", fontsize=8)
        axes.set_xlim(0, 1.22 * longest)
        axes.invert_yaxis()
        axes.set_title(f"{title.rpartition('/')[2]}: {profile['run_ms']:.1f} ms a run", loc="left")
        axes.set_xlabel("ms")
        axes.legend(loc="lower right", frameon=False, fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def blocks_figure(profile: Mapping[str, Any], colours: Mapping[str, str], *, width: float = WIDE) -> Figure:
    """The same of one engine, for `inline_svg`; what the `kind_colours` mean is for the page to say."""
    blocks = [row["block"] for row in profile["blocks"]]
    longest = max(row["ms"] for row in profile["blocks"]) or 1.0
    with mpl.rc_context(STYLE):
        figure = Figure((width, 0.6 + 0.33 * len(blocks)), layout="constrained")
        axes = figure.subplots()
        for _, colour, left, widths in _parts(profile, colours):
            axes.barh(blocks, widths, 0.66, left, color=colour, edgecolor=PAPER, linewidth=0.5)
        for at, row in enumerate(profile["blocks"]):
            rate = _rate(row) if width == WIDE else ""
            said = f"{row['share']:.0%}{rate}"
            axes.annotate(said, (row["ms"], at), (5, 0), textcoords="offset points", va="center", fontsize=11)
        axes.set_xlim(0, 1.25 * longest)
        axes.set_ylim(len(blocks) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")
        axes.set_xlabel("ms a run")
    return figure


def kind_colours(profiles: Sequence[Mapping[str, Any]], colours: Sequence[str] = SERIES) -> dict[str, str]:
    """{kind of operators: its colour}, the same in all profiles: each of those that take most has one of its own, and
    the last colour is left for `OTHERS`."""
    times: dict[str, float] = {}
    for row in (row for profile in profiles for row in profile["kinds"]):
        times[row["kind"]] = times.get(row["kind"], 0.0) + row["ms"]
    most = sorted(times, key=lambda kind: -times[kind])[: len(colours) - 1]
    return dict(zip((*most, OTHERS), (*colours[: len(most)], colours[-1]), strict=True))


def _parts(
    profile: Mapping[str, Any], colours: Mapping[str, str]
) -> Iterator[tuple[str, str, Sequence[float], Sequence[float]]]:
    """(name, colour, where its part of each block's bar begins, how long that is) of each kind of operators."""
    blocks = [row["block"] for row in profile["blocks"]]
    left = [0.0] * len(blocks)
    for label, colour in colours.items():
        widths = [
            sum(
                row["ms"]
                for row in profile["layers"]
                if row["block"] == block and (row["kind"] if row["kind"] in colours else OTHERS) == label
            )
            for block in blocks
        ]
        yield label, colour, left, widths
        left = [start + width for start, width in zip(left, widths, strict=True)]


def _rate(row: Mapping[str, Any]) -> str:
    rate = f", {row['macs'] / row['ms'] / 1e6:.0f} G mult./s" if row["macs"] and row["ms"] else ""
    return rate + (
        f", {row['roof_ms'] / row['ms']:.0%} of the roof" if row["roof_ms"] is not None and row["ms"] else ""
    )
