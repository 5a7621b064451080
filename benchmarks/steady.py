"""How much labels flicker in videos, without and with `--steady`, what that costs in F1, and how far it is behind.

    python benchmarks/steady.py --data DIR

Labelled portraits in videos of 640 x 480 with a sensor's noise, written as MPEG-4 and read again:

- still: nothing moves;
- moving: the portrait goes about 3 pixels a frame, turns and grows;
- fast: 12 pixels a frame;
- cut: halfway, another portrait is in the place of the first.

Flicker is the share of the portrait's pixels, background left out, whose label is not that of the frame before, at the
same place of the portrait. F1 is of all pixels of all frames. Frames behind: after the cut, until as many pixels are
right as without `--steady`, to a point. Writes results/anywhere/steady.json and steady.png.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from matplotlib.figure import Figure

from segface_edge import FaceParser
from segface_edge.bench.machine import environment
from segface_edge.datasets.opening import open_dataset
from segface_edge.evaluation.histogram import Histogram
from segface_edge.files import write_whole
from segface_edge.labels import RARE_PARTS, LabelSet, label_set
from segface_edge.pictures import reading
from segface_edge.plots.figure import save_figure
from segface_edge.sources.video_out import VideoWriter

RESULTS = Path(__file__).parent / "results" / "anywhere"
HEIGHT, WIDTH, SIDE = 480, 640, 300
NOISE = 5.0
GRID = 256  # of a portrait, where its frames are compared
SETTLED = 0.01

Place = Callable[[int], np.ndarray]


def at(x: float, y: float, scale: float = 1.0, angle: float = 0.0) -> np.ndarray:
    """(2, 3): a portrait of GRID pixels -> the frame, its middle at (x, y)."""
    cos, sin = (scale * SIDE / GRID * f(math.radians(angle)) for f in (math.cos, math.sin))
    middle = GRID / 2 - 0.5
    return np.array([[cos, -sin, x - cos * middle + sin * middle], [sin, cos, y - sin * middle - cos * middle]])


def moving(speed: float) -> Place:
    """To and fro, so many pixels a frame where it is fastest."""

    def place(index: int) -> np.ndarray:
        turn = 2 * math.pi * index / 40
        reach = speed * 40 / (2 * math.pi)
        return at(
            320 + reach * math.sin(turn), 240 + 10 * math.sin(2 * turn), 1 + 0.06 * math.sin(turn), 8 * math.sin(turn)
        )

    return place


SCENES: dict[str, Place] = {
    "still": lambda _: at(320, 240),
    "moving": moving(3),
    "fast": moving(12),
    "cut": lambda _: at(320, 240),
}


def film(path: Path, portraits: list[np.ndarray], place: Place, frames: int, random: np.random.Generator) -> None:
    """A video of one portrait after another."""
    writer = VideoWriter(path, fps=25)
    scaled = [cv2.resize(portrait, (GRID, GRID), interpolation=cv2.INTER_AREA) for portrait in portraits]
    backdrop = np.full((HEIGHT, WIDTH, 3), 110, np.uint8)
    for index in range(frames):
        portrait = scaled[index * len(scaled) // frames]
        frame = backdrop.copy()
        cv2.warpAffine(
            portrait, place(index), (WIDTH, HEIGHT), dst=frame, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_TRANSPARENT
        )
        noisy = frame + random.normal(0, NOISE, frame.shape)
        writer.write(np.clip(noisy, 0, 255).astype(np.uint8))
    writer.close()


def watched(
    parser: FaceParser,
    path: Path,
    truths: list[np.ndarray],
    place: Place,
    frames: int,
    steady: bool,
    order: LabelSet,
    histogram: Histogram,
) -> tuple[list[float], list[float], float]:
    """Of each frame the flicker and the share of the portrait's pixels that are right; seconds a frame. Counts for F1
    are added to `histogram`."""
    grids = [cv2.resize(truth, (GRID, GRID), interpolation=cv2.INTER_NEAREST) for truth in truths]
    flicker: list[float] = []
    right: list[float] = []
    before, seconds = None, time.perf_counter()
    for one in parser.stream(path, steady=steady):
        assert one.face is not None
        labels = one.face.remap(order).labels
        truth = grids[one.index * len(grids) // frames]
        way = place(one.index)
        histogram.add(cv2.warpAffine(truth, way, (WIDTH, HEIGHT), flags=cv2.INTER_NEAREST, borderValue=0), labels)
        grid = cv2.warpAffine(labels, way, (GRID, GRID), flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)
        face = truth > 0
        right.append(float((grid == truth)[face].mean()))
        if before is not None:
            flicker.append(float((grid != before)[face].mean()))
        before = grid
    return flicker, right, (time.perf_counter() - seconds) / frames


@click.command(help=__doc__)
@click.option("--data", required=True, type=click.Path(path_type=Path, exists=True), help="Labelled portraits.")
@click.option("--detector", type=click.Path(path_type=Path, exists=True), help="YuNet's model; default: the bundled.")
@click.option("--label-order", default="celebamask-hq", show_default=True)
@click.option("--videos", default=12, show_default=True, help="Of each scene.")
@click.option("--frames", default=40, show_default=True, help="Of a video.")
@click.option("--threads", default=2, show_default=True)
def main(data: Path, detector: Path | None, label_order: str, videos: int, frames: int, threads: int) -> None:
    """Measure, write."""
    order = label_set(label_order)
    samples = open_dataset(data, order=order, default=label_set("segface")).samples[: videos + 1]
    rows: list[dict[str, Any]] = []
    course: dict[str, list[float]] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        FaceParser(locate="yunet", detector=detector, threads=threads) as parser,
    ):
        parser.warmup()
        for scene, place in SCENES.items():
            ways: dict[bool, dict[str, Any]] = {
                steady: {"histogram": Histogram(len(order)), "flicker": [], "after": [], "s": []}
                for steady in (False, True)
            }
            for index in range(videos):
                shown = samples[index : index + (2 if scene == "cut" else 1)]
                path = Path(folder) / "video.mp4"
                portraits = [reading.load(sample.image) for sample in shown]
                film(path, portraits, place, frames, np.random.default_rng(index))
                truths = [sample.read_labels(order) for sample in shown]
                for steady, kept in ways.items():
                    flicker, right, seconds = watched(
                        parser, path, truths, place, frames, steady, order, kept["histogram"]
                    )
                    kept["flicker"] += flicker
                    kept["s"].append(seconds)
                    if scene == "cut":
                        kept["after"].append(right[frames // 2 :])
                    elif scene == "still" and index == 0:
                        course["steady" if steady else "off"] = flicker
            for steady, kept in ways.items():
                counts = kept["histogram"]
                shown = counts.counts.sum(axis=1) > 0  # a class that no portrait has would count as 0 where it flickers
                f1 = dict(zip(order.classes, np.where(shown, counts.f1(), np.nan).tolist(), strict=True))
                rows.append(
                    {
                        "scene": scene,
                        "steady": steady,
                        # The cut itself is no flicker.
                        "flicker": float(np.mean(kept["flicker"])) if scene != "cut" else None,
                        "mean_f1": float(np.nanmean([value for name, value in f1.items() if name != "background"])),
                        "rare_f1": float(np.nanmean([f1[name] for name in RARE_PARTS])),
                        "frames_behind": behind(ways[False]["after"], kept["after"]),
                        "ms_a_frame": 1000 * float(np.median(kept["s"])),
                    }
                )
                say(rows[-1])
    document = {"rows": rows, "course": course, "videos": videos, "frames": frames, "environment": environment()}
    RESULTS.mkdir(parents=True, exist_ok=True)
    write_whole(RESULTS / "steady.json", (json.dumps(document, indent=1) + "\n").encode())
    save_figure(draw(rows, course), RESULTS / "steady.png")


def behind(usual: list[list[float]], steady: list[list[float]]) -> int | None:
    """The most frames of any video until as many pixels are right as usually, to a point; None: nothing was cut."""
    first = [
        next(i for i, (one, other) in enumerate(zip(before, after, strict=True)) if other >= one - SETTLED)
        for before, after in zip(usual, steady, strict=True)
    ]
    return max(first, default=None)


def say(row: dict[str, Any]) -> None:
    """A line for people."""
    flicker = "" if row["flicker"] is None else f"flicker {100 * row['flicker']:5.2f} %, "
    late = "" if row["frames_behind"] is None else f"{row['frames_behind']} frames behind at most, "
    click.echo(
        f"{row['scene']:8} {'steady' if row['steady'] else 'off':7} {flicker}{late}F1 {100 * row['mean_f1']:.1f}, "
        f"rare {100 * row['rare_f1']:.1f}, {row['ms_a_frame']:.0f} ms"
    )


def draw(rows: list[dict[str, Any]], course: dict[str, list[float]]) -> Figure:
    """Flicker by scene, and of one video from frame to frame."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.6))
    scenes = [row["scene"] for row in rows if row["flicker"] is not None and not row["steady"]]
    for shift, (name, steady) in zip((-0.2, 0.2), (("off", False), ("steady", True)), strict=True):
        heights = [100 * row["flicker"] for row in rows if row["flicker"] is not None and row["steady"] == steady]
        bars = left.bar(np.arange(len(scenes)) + shift, heights, 0.4, label=name)
        left.bar_label(bars, fmt="%.1f", fontsize=8)
    left.set_xticks(range(len(scenes)), scenes)
    left.set_ylabel("pixels that change from frame to frame, %")
    for name, values in course.items():
        right.plot(range(1, len(values) + 1), 100 * np.array(values), label=name)
    right.set_xlabel("frame of one video where nothing moves")
    right.set_ylim(bottom=0)
    right.legend()
    for axes in (left, right):
        axes.grid(alpha=0.3, axis="y")
    return figure


if __name__ == "__main__":
    main()
