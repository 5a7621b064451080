"""A benchmark's samples as figures of its page: how long queries took, when, in which stages; which is faster.

Rows are those of a report of `segface-edge bench`, the base of comparisons first. All figures are for `inline_svg`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import MaxNLocator

from .figure import floats, short_name
from .inline import ACCENT, INK, LINE, MUTED, PAPER, SERIES, SOFT, STYLE, WIDE

Row = Mapping[str, Any]

MARKED = ("p50", "p90", "p95", "p99")
# Dots of all engines together, and of one.
MOST_DOTS, MOST_DOTS_OF_ONE, LEAST_DOTS_OF_ONE = 6000, 1200, 100
# A few samples may be so long that nothing else could be told apart: beyond this many times p99 they are counted.
_BEYOND = 1.3
# Engines are drawn on one scale unless one is so much slower that the other would be a line.
_ONE_SCALE = 4
# Letters of notes, and the height of a line of them.
_SMALL, _LEVEL = 11, 15


def queries(row: Row) -> npt.NDArray[np.float64]:
    """(queries,) milliseconds of each, all stages together, in the order in which they ran."""
    stages = np.asarray(list(row["samples_ms"].values()), float)
    total: npt.NDArray[np.float64] = stages.sum(axis=0)
    return total


def dots_of_one(engines: int) -> int:
    """How many dots the time line of each of so many engines has at most."""
    return max(LEAST_DOTS_OF_ONE, min(MOST_DOTS_OF_ONE, MOST_DOTS // engines))


def thinned(values: npt.NDArray[np.float64], most: int) -> npt.NDArray[np.int64]:
    """Places of at most `most` values, in order: of equal parts the lowest and the highest, so that peaks stay."""
    if len(values) <= most:
        return np.arange(len(values))
    parts = np.array_split(np.arange(len(values)), most // 2)
    ends = {int(part[pick(values[part])]) for part in parts for pick in (np.argmin, np.argmax)}
    return np.array(sorted(ends))


def distribution_figure(rows: Sequence[Row], *, width: float = WIDE) -> Figure:
    """How often queries took how long: a histogram for each engine, its percentiles marked."""
    with mpl.rc_context(STYLE):
        figure = Figure((width, 0.55 + 2.05 * len(rows)), layout="constrained")
        panels = figure.subplots(len(rows), 1, squeeze=False)[:, 0]
        for axes, row, (low, high) in zip(panels, rows, _scales(rows), strict=True):
            values = queries(row)
            bins = int(np.clip(3 * math.sqrt(len(values)), 12, 6 * width))
            counts, edges = np.histogram(values, bins, (low, high))
            axes.stairs(counts, edges, fill=True, color=SOFT)
            axes.set_xlim(low, high)
            axes.set_ylim(0, 1.08 * max(counts.max(), 1))
            axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
            axes.grid(axis="y")
            beyond = int((values > high).sum())
            if beyond:
                _note(axes, f"{beyond} longer, up to {values.max():.0f} ms →")
            levels = _mark(axes, row["latency_ms"], low, high, width)
            axes.set_title(short_name(row["engine"]["name"]), pad=8 + _LEVEL * levels)
        panels[-1].set_xlabel("ms a query")
        figure.supylabel("queries", fontsize=12, color=MUTED)
    return figure


def timeline_figure(rows: Sequence[Row], *, width: float = WIDE) -> Figure:
    """Every query in the order in which they ran, and the running median: what gets slower by and by is seen."""
    with mpl.rc_context(STYLE):
        figure = Figure((width, 0.55 + 1.75 * len(rows)), layout="constrained")
        panels = figure.subplots(len(rows), 1, squeeze=False)[:, 0]
        for axes, row, (low, high) in zip(panels, rows, _scales(rows), strict=True):
            values = queries(row)
            at = thinned(values, dots_of_one(len(rows)))
            inside = values[at] <= high
            _dots(axes, at[inside] + 1, values[at][inside], SOFT)
            over = at[~inside]
            if len(over):
                axes.plot(over + 1, np.full(len(over), high), "^", color=MUTED, markersize=5, clip_on=False)
                _note(axes, f"▲ {int((values > high).sum())} longer, up to {values.max():.0f} ms")
            places, medians = _running_median(values)
            axes.plot(places, medians, color=ACCENT, linewidth=2)
            edge = 0.5 + 0.01 * len(values)
            axes.set_xlim(1 - edge, len(values) + edge)
            axes.set_ylim(low, high)
            axes.yaxis.set_major_locator(MaxNLocator(4))
            axes.xaxis.set_major_locator(MaxNLocator(6 if width == WIDE else 4, integer=True))
            axes.grid(axis="y")
            axes.set_title(short_name(row["engine"]["name"]), pad=9)
        panels[-1].set_xlabel("query")
        figure.supylabel("ms", fontsize=12, color=MUTED)
    return figure


def stages_figure(rows: Sequence[Row], colours: Mapping[str, str], *, width: float = WIDE) -> Figure:
    """The stages of a query as parts of a bar, an engine a bar; means, which add up to the whole.

    Args:
        rows: as everywhere here.
        colours: {stage: its colour}.
        width: in inches.
    """
    with mpl.rc_context(STYLE):
        figure = Figure((width, 0.6 + 0.62 * len(rows)), layout="constrained")
        axes = figure.subplots()
        for place, row in enumerate(rows):
            left = 0.0
            for stage, summary in row["stages_ms"].items():
                mean = summary["mean"]
                axes.barh(place, mean, 0.46, left, color=colours[stage], edgecolor=PAPER, linewidth=1)
                left += mean
            axes.annotate(f"{left:.1f} ms", (left, place), (5, 0), textcoords="offset points", va="center")
            axes.text(0, place - 0.3, short_name(row["engine"]["name"]), va="bottom")
        _rows(axes, len(rows))
        longest = max(row["latency_ms"]["mean"] for row in rows) or 1.0
        axes.set_xlim(0, longest * (1.1 if width == WIDE else 1.25))
        axes.set_xlabel("ms a query, mean")
    return figure


def comparison_figure(comparisons: Sequence[Mapping[str, Any]], *, width: float = WIDE) -> Figure:
    """How many times as long as the base each engine takes: a dot, and a whisker where there is an interval."""
    ends = [value for one in comparisons for value in (one["latency_ratio"], *(one["ci95"] or ()))]
    low, high = min(1.0, *ends), max(1.0, *ends)
    pad = max(0.12 * (high - low), 0.01)
    with mpl.rc_context(STYLE):
        figure = Figure((width, 1.0 + 0.62 * len(comparisons)), layout="constrained")
        axes = figure.subplots()
        axes.axvline(1, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        for place, one in enumerate(comparisons):
            if one["ci95"]:
                axes.plot(one["ci95"], [place, place], color=ACCENT, linewidth=2.5, solid_capstyle="butt")
                for end in one["ci95"]:
                    axes.plot([end, end], [place - 0.12, place + 0.12], color=ACCENT, linewidth=2.5)
            axes.plot([one["latency_ratio"]], [place], "o", color=ACCENT, markersize=9)
            # The line of 1 may pass behind the name.
            behind = {"facecolor": PAPER, "edgecolor": "none", "pad": 2}
            axes.text(low - pad, place - 0.3, short_name(one["engine"]), va="bottom", bbox=behind)
        _rows(axes, len(comparisons))
        axes.set_xlim(low - pad, high + pad)
        axes.xaxis.set_major_locator(MaxNLocator(8 if width == WIDE else 5, steps=(1, 2, 5, 10)))
        axes.set_xlabel("times as long as the base; left of 1 is faster")
    return figure


def state_figure(
    series: Mapping[str, tuple[Sequence[float], Sequence[float | None]]], *, width: float = WIDE
) -> Figure:
    """What the machine's sensors said while it ran: a panel for each of {what: (seconds, values)}."""
    with mpl.rc_context(STYLE):
        figure = Figure((width, 0.55 + 1.15 * len(series)), layout="constrained")
        panels = figure.subplots(len(series), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (what, (seconds, values)) in zip(panels, series.items(), strict=True):
            axes.plot(seconds, floats(values), color=ACCENT, linewidth=1.5)
            axes.yaxis.set_major_locator(MaxNLocator(3))
            axes.margins(x=0, y=0.15)
            axes.grid(axis="y")
            axes.set_title(what)
        panels[-1].set_xlabel("seconds")
    return figure


def _scales(rows: Sequence[Row]) -> list[tuple[float, float]]:
    """The least and most milliseconds that each engine's panel shows."""
    found = []
    for row in rows:
        values = queries(row)
        high = min(float(values.max()), _BEYOND * row["latency_ms"]["p99"])
        pad = max(0.04 * (high - float(values.min())), 0.01 * high, 1e-6)
        found.append((max(0.0, float(values.min()) - pad), high + pad))
    middles = [row["latency_ms"]["p50"] for row in rows]
    if max(middles) <= _ONE_SCALE * min(middles):
        return [(min(low for low, _ in found), max(high for _, high in found))] * len(rows)
    return found


def _mark(axes: Axes, summary: Mapping[str, float], low: float, high: float, width: float) -> int:
    """Lines at the percentiles with their names above the panel, in as many levels as keep them apart; that number."""
    named: dict[str, list[str]] = {}
    for name in MARKED:
        named.setdefault(f"{summary[name]:.1f}", []).append(name)
    # Near enough: digits are 0.6 of their height wide, and the panel is narrower than the figure by its axis.
    unit = (high - low) / (72 * width - 60)
    ends: list[float] = []
    for digits, names in named.items():
        value = summary[names[0]]
        text = f"{' '.join(names)}: {digits}"
        room = unit * (0.6 * _SMALL * len(text) + 8)
        start = min(max(value - unit * 4, low), high - room)
        level = next((i for i, end in enumerate(ends) if end <= start), len(ends))
        ends[level : level + 1] = [start + room]
        median = "p50" in names
        axes.axvline(value, color=INK, linewidth=1.8 if median else 1, linestyle="-" if median else (0, (2, 2)))
        axes.annotate(
            text, (start, 1), (0, 3 + _LEVEL * level), xycoords=axes.get_xaxis_transform(),
            textcoords="offset points", fontsize=_SMALL, va="bottom",
        )  # fmt: skip
    return len(ends)


def _note(axes: Axes, text: str) -> None:
    """What lies beyond the panel, said in its corner."""
    axes.text(0.99, 0.92, text, transform=axes.transAxes, ha="right", va="top", color=MUTED, fontsize=_SMALL)


def _dots(axes: Axes, x: npt.NDArray[Any], y: npt.NDArray[np.float64], colour: str) -> None:
    """Dots as one path of lines without length: markers would take ten times the bytes."""
    vertices = np.repeat(np.stack([x, y], axis=1), 2, axis=0)
    path = Path(vertices, np.tile([Path.MOVETO, Path.LINETO], len(x)))
    path.should_simplify = False
    axes.add_patch(PathPatch(path, fill=False, edgecolor=colour, linewidth=5 if len(x) < 300 else 3, capstyle="round"))


def _running_median(values: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(places from 1, medians) of at most 200 windows of a twentieth of the run, five queries at least."""
    size = min(len(values), max(5, len(values) // 20))
    starts = np.unique(np.linspace(0, len(values) - size, 200).astype(int))
    medians = np.array([np.median(values[start : start + size]) for start in starts])
    return starts + 1 + (size - 1) / 2, medians


def _rows(axes: Axes, count: int) -> None:
    """No vertical axis: each row says what it is above its bar."""
    axes.set_ylim(count - 0.6, -0.75)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=LINE)


STAGE_COLOURS = dict(
    zip(("inference", "fit", "restore", "decode", "host_to_device", "draw", "device_to_host"), SERIES, strict=True)
)
