"""Draws how good the released models were after how long a training: `python models/learning.py`.

`learning.json` has it, sitting by sitting, as each training's log said it: mean F1 in points on the 300 photos of val,
after so many steps, at 320 (the first point of `mobilenet` is of weights that were released, at 384). Minutes are wall
time, of so many cores; as the recipe or its commit said them, but for two of the default model: `recipe-320.toml` has
what the others leave of 6 h 15 min, and `recipe-long.toml` with `recipe-long-finish.toml` the two hours of both.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from segface_edge.plots.figure import PLAIN, grid, save_figure

FOLDER = Path(__file__).parent
TITLES = {"efficientnet_lite0_s8_b1": "the default model", "mobilenet": "mobilenet"}
COLOURS = {"efficientnet_lite0_s8_b1": "C0", "mobilenet": "C1"}
# What the paper's weights reach at 512, trained on 24,183 photos.
PAPER = 87.9


def curves(sittings: list[dict[str, Any]]) -> list[list[tuple[float, float]]]:
    """(core hours, mean F1) of each sitting that was measured. Within a sitting each step takes as long."""
    before, found = 0.0, []
    for sitting in sittings:
        hours = sitting["minutes"] * sitting["cores"] / 60
        at = [(before + hours * int(step) / sitting["steps"], float(f1)) for step, f1 in sitting["mean_f1"].items()]
        if at:
            found.append(at)
        before += hours
    return found


def figure(sittings: dict[str, list[dict[str, Any]]], photos: int) -> Figure:
    """A line for each sitting: where one begins, the rate is high again, and at times the network is another."""
    with mpl.rc_context(PLAIN):
        drawn = Figure((8, 4.8), layout="constrained")
        axes = drawn.add_subplot()
        for name, own in sittings.items():
            for i, line in enumerate(curves(own)):
                hours, f1 = zip(*line, strict=True)
                axes.plot(hours, f1, "o-", color=COLOURS[name], markersize=4, label=None if i else TITLES[name])
            axes.annotate(
                f"{f1[-1]:.1f}", (hours[-1], f1[-1]), (0, 6), textcoords="offset points", ha="center", fontsize=9
            )
        axes.axhline(PAPER, color="grey", linestyle="--", linewidth=1)
        axes.annotate(
            "the paper's mobilenet: 512 x 512, 24,183 photos",
            (0, PAPER),
            (4, -11),
            textcoords="offset points",
            fontsize=8,
            color="grey",
        )
        axes.set_xlim(left=0)
        axes.set_xlabel("hours of training on one CPU core (two cores count twice)")
        axes.set_ylabel(f"mean F1 at 320 on {photos} photos, points of 100")
        axes.legend(loc="lower right", frameon=False)
        axes.set_title("How good after how long: a line for each sitting", fontsize=11)
        grid(axes)
    return drawn


def main() -> None:
    """Read and draw."""
    document = json.loads((FOLDER / "learning.json").read_text(encoding="utf-8"))
    save_figure(figure(document["sittings"], document["photos"]), FOLDER / "learning.png")


if __name__ == "__main__":
    main()
