"""What decides on the rare classes of long-tailed digits: `segface-edge longtail`, one setting changed at a time.

    python benchmarks/longtail.py -o runs

writes results/training/longtail-settings.json and longtail-settings.png. Settings whose results lie in `runs` already
are not trained again. About an hour and a half on one core.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
from matplotlib.figure import Figure

from segface_edge.bench.machine import environment
from segface_edge.files import write_whole
from segface_edge.plots.figure import save_figure

RESULTS = Path(__file__).parent / "results" / "training"

# Title -> what differs from the first. Ten seeds, imbalance 50, 100 epochs, subclasses of 10 and more.
SETTINGS: dict[str, tuple[str, ...]] = {
    "LDAM on the frozen encoder": ("--methods", "ce,ldam-drw,supcon,sbcl"),
    "class-aware sampling": ("--methods", "supcon,sbcl", "--second-stage", "sampling"),
    "nearest class means": ("--methods", "supcon,sbcl", "--second-stage", "means"),
    "sampling, subclasses of 5": ("--methods", "sbcl", "--second-stage", "sampling", "--smallest", "5"),
    "sampling, subclasses of 20": ("--methods", "sbcl", "--second-stage", "sampling", "--smallest", "20"),
    "sampling, subclasses of 30": ("--methods", "sbcl", "--second-stage", "sampling", "--smallest", "30"),
    "LDAM, static and k-means": ("--methods", "sbcl-static,sbcl-kmeans"),
    "sampling, 400 epochs": ("--methods", "ce,supcon,sbcl", "--second-stage", "sampling", "--epochs", "400"),
    "LDAM, imbalance 10": ("--methods", "ce,supcon,sbcl", "--imbalance", "10"),
    "LDAM, imbalance 100": ("--methods", "ce,supcon,sbcl", "--imbalance", "100"),
    "sampling, imbalance 100": ("--methods", "supcon,sbcl", "--second-stage", "sampling", "--imbalance", "100"),
}
SAME = ("--seeds", "10", "--threads", "1")
COLOURS = {"ce": "C0", "ldam-drw": "C1", "supcon": "C2", "sbcl": "C3", "sbcl-static": "C4", "sbcl-kmeans": "C5"}


@click.command(help=__doc__)
@click.option("-o", "out", required=True, type=click.Path(path_type=Path), help="Folder for the studies.")
def main(out: Path) -> None:
    """Runs what is not there, writes the table and the figure."""
    out.mkdir(parents=True, exist_ok=True)
    studies = {title: study(out, changes) for title, changes in SETTINGS.items()}
    rows = [
        {"setting": title, "command": " ".join(command(SETTINGS[title])), **row}
        for title, found in studies.items()
        for row in found["rows"]
    ]
    # Every seed's few, for the figure and for who wants to compare seed by seed.
    for row in rows:
        runs = [one for one in studies[row["setting"]]["runs"] if one["method"] == row["method"]]
        row["few_by_seed"] = [few(one) for one in sorted(runs, key=lambda one: one["seed"])]
    RESULTS.mkdir(parents=True, exist_ok=True)
    document = {"rows": rows, "environment": environment()}
    write_whole(RESULTS / "longtail-settings.json", (json.dumps(document, indent=1) + "\n").encode())
    save_figure(draw(rows), RESULTS / "longtail-settings.png")


def command(changes: tuple[str, ...]) -> list[str]:
    """The study's command line."""
    epochs = () if "--epochs" in changes else ("--epochs", "100")
    return ["segface-edge", "longtail", *changes, *epochs, *SAME]


def study(out: Path, changes: tuple[str, ...]) -> dict[str, Any]:
    """What a study found; its name in the folder is its options."""
    options = command(changes)[2:]
    path = out / ("_".join(options).replace("--", "") + ".json")
    if not path.exists():
        script = Path(sys.executable).with_name("segface-edge")
        subprocess.run([str(script), "longtail", *options, "--json", str(path)], check=True)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def few(run: dict[str, Any]) -> float:
    """Mean accuracy of the third of the classes that have the fewest samples, as `Outcome.summary` has it."""
    order = sorted(range(len(run["counts"])), key=lambda label: -run["counts"][label])
    return statistics.mean(run["accuracy"][label] for label in order[-max(1, len(order) // 3) :])


def draw(rows: list[dict[str, Any]]) -> Figure:
    """A line a method of each setting: its seeds, and their mean."""
    figure = Figure(figsize=(9.5, 0.27 * len(rows) + 1.2), layout="constrained")
    axes = figure.add_subplot()
    marks, names, place, last = [], [], 0.0, rows[0]["setting"]
    for row in rows:
        place += 1.0 if row["setting"] == last else 1.7
        last = row["setting"]
        values = 100 * np.array(row["few_by_seed"])
        colour = COLOURS[row["method"]]
        axes.plot(values, np.full(len(values), place), "|", color=colour, alpha=0.6)
        axes.plot(values.mean(), place, "o", color=colour)
        axes.annotate(f"{values.mean():.1f}", (101.5, place), va="center", fontsize=8, annotation_clip=False)
        marks.append(place)
        names.append(f"{row['setting']}: {row['method']}")
    axes.set_yticks(marks, names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(None, 101)
    axes.set_xlabel("accuracy of the few classes in test, % (dot: mean, lines: seeds)")
    axes.grid(axis="x", alpha=0.3)
    return figure


if __name__ == "__main__":
    main()
