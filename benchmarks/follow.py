"""Faces followed through a video beside faces found anew in each of its frames: `python benchmarks/follow.py`.

Videos are drawn: portraits that sway, turn, come nearer, cross, come in and go before another picture, with a sensor's
noise; cuts; light that changes. `Finder` goes through each twice, as it follows faces and as it looks at everything in
every frame. Said of each video:

- the share of pixels whose label is the same, on average and in the worst frame;
- faces that only one of the two has, and for how many frames on end one is missed;
- milliseconds of CPU time a frame that finding them takes.

`--photos` takes portraits framed as CelebA-HQ's beside the bundled one. Writes results/anywhere/follow.json.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np

from segface_edge import FaceParser, zoo
from segface_edge.bench.machine import environment
from segface_edge.faces.levels import Levels
from segface_edge.faces.watch import Watch
from segface_edge.files import write_whole
from segface_edge.parsing.result import FaceParse
from segface_edge.pictures import reading
from segface_edge.pictures.framing import iou
from segface_edge.pictures.geometry import UInt8Array

RESULT = Path(__file__).parent / "results" / "anywhere" / "follow.json"
FPS, FRAMES = 25.0, 50
NOISE = 3.0
SAME = 0.5


class Everywhere(Watch):
    """Of a video in whose frames everything is looked at."""

    def is_due(self, levels: Levels) -> bool:
        return super().is_due(levels) or True


# A portrait in a frame: where its middle is in shares of the frame, its side in the frame's heights, its turn.
Place = tuple[float, float, float, float]


@dataclass(frozen=True)
class Video:
    """Where portraits are in frame `t`, 0 to 1; which scene it is, how bright, how large the frame."""

    places: Callable[[float], list[Place]]
    scene: Callable[[float], int] = lambda _: 0
    light: Callable[[float], float] = lambda _: 1.0
    size: tuple[int, int] = (640, 480)
    turned: int = 0

    def frames(self, portraits: list[UInt8Array], count: int) -> Iterator[UInt8Array]:
        random = np.random.default_rng(0)
        for index in range(count):
            t = index / count
            frame = _background(self.size, self.scene(t))
            for portrait, place in zip(portraits, self.places(t), strict=False):
                _draw(frame, portrait, place)
            noisy = frame * self.light(t) + random.normal(0, NOISE, frame.shape)
            yield np.ascontiguousarray(np.rot90(np.clip(noisy, 0, 255).astype(np.uint8), -self.turned))


def _background(size: tuple[int, int], scene: int) -> UInt8Array:
    """Parts of the bundled pictures without a face."""
    picture = reading.load(zoo.ASTRONAUT)
    part = (picture[330:, :300], picture[:200, 330:], picture[200:330, 330:])[scene % 3]
    return np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_CUBIC), np.uint8)


def _draw(frame: UInt8Array, portrait: UInt8Array, place: Place) -> None:
    x, y, side, turn = place
    height, width = frame.shape[:2]
    scale = side * height / portrait.shape[0]
    small = cv2.resize(portrait, None, fx=min(scale, 1), fy=min(scale, 1), interpolation=cv2.INTER_AREA)
    way = cv2.getRotationMatrix2D((small.shape[1] / 2, small.shape[0] / 2), turn, scale / min(scale, 1))
    way[:, 2] += (x * width - small.shape[1] / 2, y * height - small.shape[0] / 2)
    mask = cv2.warpAffine(np.ones(small.shape[:2], np.uint8), way, (width, height), flags=cv2.INTER_NEAREST)
    drawn = cv2.warpAffine(small, way, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    frame[mask > 0] = drawn[mask > 0]


def _sway(t: float, side: float, by: float = 0.1) -> Place:
    angle = 2 * math.pi * t
    return 0.5 + by * math.sin(2 * angle), 0.5 + by * math.sin(3 * angle), side, 10 * math.sin(2 * angle)


VIDEOS = {
    "near": Video(lambda t: [_sway(t, 0.95)]),
    "at arm's length": Video(lambda t: [_sway(t, 0.6)]),
    "middle": Video(lambda t: [_sway(t, 0.4)]),
    "far": Video(lambda t: [_sway(t, 0.2)]),
    "coming nearer": Video(lambda t: [(0.4 + 0.2 * t, 0.5, 0.15 + 0.85 * t, 5 * math.sin(9 * t))]),
    "fast": Video(lambda t: [(0.5 + 0.35 * math.sin(20 * t), 0.5, 0.35, 0)]),
    "two that cross": Video(lambda t: [(0.2 + 0.6 * t, 0.45, 0.4, 0), (0.8 - 0.6 * t, 0.55, 0.3, 0)]),
    "one comes and goes": Video(
        lambda t: [(0.3, 0.5, 0.5, 4 * math.sin(9 * t)), (1.3 - 1.6 * abs(t - 0.5), 0.4, 0.25, 0)]
    ),
    "one appears at once": Video(lambda t: [_sway(t, 0.5, 0.05), (0.85, 0.2, 0.2, 0)][: 1 if t < 0.47 else 2]),
    "a hand-held camera": Video(
        lambda t: [
            (x + 0.06 * math.sin(37 * t), 0.5 + 0.08 * math.sin(29 * t), side, 3)
            for x, side in ((0.3, 0.35), (0.7, 0.25))
        ]
    ),
    "cuts": Video(
        lambda t: [[_sway(t, 0.9)], [(0.3, 0.5, 0.2, 0), (0.7, 0.5, 0.25, 0)], [], [(0.5, 0.3, 0.22, 0)]][int(4 * t)],
        scene=lambda t: int(4 * t),
    ),
    "light that flickers": Video(lambda t: [_sway(t, 0.35)], light=lambda t: 0.75 + 0.25 * math.sin(60 * t)),
    "lying": Video(lambda t: [_sway(t, 0.4)], turned=1),
    "1280 x 720": Video(lambda t: [_sway(t, 0.5), (0.15, 0.25, 0.15, 0)], size=(1280, 720)),
}


@dataclass
class Compared:
    """One video through both ways."""

    same: list[float] = field(default_factory=list)
    missed: int = 0
    missed_on_end: int = 0
    more: int = 0
    faces: int = 0
    seconds: list[float] = field(default_factory=lambda: [0.0, 0.0])
    _now_missed: int = 0

    def add(self, followed: FaceParse, found: FaceParse) -> None:
        self.same.append(float((followed.labels == found.labels).mean()))
        missed = sum(all(iou(one, other) < SAME for other in followed.faces) for one in found.faces)
        self.more += sum(all(iou(one, other) < SAME for other in found.faces) for one in followed.faces)
        self.faces += len(found.faces)
        self.missed += missed
        self._now_missed = self._now_missed + 1 if missed else 0
        self.missed_on_end = max(self.missed_on_end, self._now_missed)


def compare(parser: FaceParser, frames: Iterator[UInt8Array], compared: Compared) -> None:
    stages, watches = parser.stages, (Watch(), Everywhere())
    for index, frame in enumerate(frames):
        made: list[FaceParse] = []
        boxes: list[Any] = []
        for way, watch in enumerate(watches):
            work = stages.take(frame)
            watch.now = index / FPS
            began = time.thread_time()
            stages.find(work, watch)
            compared.seconds[way] += time.thread_time() - began
            boxes.append((work.locator, work.located))
            if way and boxes[0] == boxes[1]:  # the same squares have the same labels
                made.append(made[0])
                continue
            stages.infer([work])
            made.append(stages.finish(work))
        compared.add(*made)


@click.command(help=__doc__)
@click.option("--photos", type=click.Path(path_type=Path), help="A folder of portraits.")
@click.option("--portraits", "count", default=4, show_default=True, help="So many of them, beside the bundled one.")
@click.option("--frames", default=FRAMES, show_default=True, help="Of a video.")
@click.option("--only", help="One of the videos.")
@click.option("-o", "out", type=click.Path(path_type=Path), default=RESULT, show_default=True)
def main(photos: Path | None, count: int, frames: int, only: str | None, out: Path) -> None:
    """Compare, write."""
    cv2.setNumThreads(1)  # CPU time of this thread is all there is
    portraits = [reading.load(zoo.PORTRAIT)]
    if photos is not None:
        portraits += [reading.load(path) for path in sorted(photos.glob("*.jpg"))[:count]]
    document: dict[str, Any] = {
        "environment": environment(),
        "portraits": len(portraits),
        "frames": frames,
        "videos": {},
    }
    shares = []
    with FaceParser() as parser:
        for name, video in VIDEOS.items():
            if only not in (None, name):
                continue
            compared = Compared()
            for first in range(len(portraits)):
                turn = portraits[first:] + portraits[:first]
                compare(parser, video.frames(turn * 2, frames), compared)
            shares += compared.same
            row = document["videos"][name] = {
                "same_percent": round(100 * float(np.mean(compared.same)), 3),
                "worst_percent": round(100 * min(compared.same), 2),
                "faces": compared.faces,
                "missed": compared.missed,
                "missed_frames_on_end": compared.missed_on_end,
                "more": compared.more,
                "ms_followed": round(1000 * compared.seconds[0] / len(compared.same), 2),
                "ms_everywhere": round(1000 * compared.seconds[1] / len(compared.same), 2),
            }
            click.echo(f"{name}: {json.dumps(row)}")
    document["same_percent"] = round(100 * float(np.mean(shares)), 3)
    click.echo(f"all: {document['same_percent']} %")
    out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(out, (json.dumps(document, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
