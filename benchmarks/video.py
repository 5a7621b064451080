"""Whether a video is parsed as fast as its engine goes, whether memory stays flat, and what a group costs.

    python benchmarks/video.py

- A 512 x 512 video of the bundled portrait through `segface-edge parse` (decode, fit, parse, draw, write) against the
  engine alone, in turn, several times; the video also with one frame in flight.
- Memory of the same over 10,000 frames, and of a folder of 10,000 photos, with an engine that computes nothing.
- Eight frames in one call of the engine, computed one after another and all at once.
- A photo of one to ten faces, given as boxes: milliseconds a face.

Writes results/anywhere/video.json.
"""

from __future__ import annotations

import json
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np

from segface_edge import FaceParser, zoo
from segface_edge.bench.machine import environment
from segface_edge.cli.video import parse_video
from segface_edge.engines import FakeEngine
from segface_edge.files import write_whole
from segface_edge.parsing.result import FaceParse
from segface_edge.parsing.stream import lanes
from segface_edge.pictures import fitting, reading
from segface_edge.sources.video_out import VideoWriter

RESULT = Path(__file__).parent / "results" / "anywhere" / "video.json"
SIDE = 512
MANY = 10_000


def clip(path: Path, frames: int) -> None:
    """The portrait, moving a little."""
    portrait = np.pad(reading.load(zoo.PORTRAIT), ((16, 16), (16, 16), (0, 0)), mode="edge")
    writer = VideoWriter(path, fps=25)
    for index in range(frames):
        x, y = (round(16 + 16 * f(index / 9)) for f in (np.sin, np.cos))
        writer.write(portrait[y : y + SIDE, x : x + SIDE])
    writer.close()


def through(
    parser: FaceParser, source: Path, out: Path | None, draw: Callable[[FaceParse], FaceParse] = lambda face: face
) -> float:
    """Seconds a frame of the whole way; `draw` sees each frame."""
    began = time.perf_counter()
    document = parse_video(
        parser,
        str(source),
        out=out,
        lines_to=None,
        draw=draw,
        view="overlay",
        alpha=0.5,
        every=1,
        limit=None,
        steady=False,
        show=False,
        boxes=None,
    )
    return (time.perf_counter() - began) / document["frames"]


def resident_mib() -> float:
    """Memory of this process now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


@click.command(help=__doc__)
@click.option("--rounds", default=6, show_default=True)
@click.option("--frames", default=40, show_default=True, help="Of the video, a round.")
@click.option("--threads", default=2, show_default=True)
def main(rounds: int, frames: int, threads: int) -> None:
    """Measure, write."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "clip.avi"
        clip(source, frames)
        document: dict[str, Any] = {"environment": environment(), "threads": threads, "frames": frames}
        in_flight, each = lanes(threads)
        document["in_flight"], document["threads_each"] = in_flight, each
        with (
            FaceParser(locate="whole", threads=threads) as parser,
            FaceParser(locate="whole", threads=each, in_flight=in_flight) as several,
        ):
            frame = fitting.fit(reading.load(zoo.PORTRAIT), parser.spec.size).pixels[None]
            engine = []
            ways: dict[str, list[float]] = {"several in flight": [], "one in flight": []}
            for warm in (parser, several):
                warm.warmup(3)
            for _ in range(rounds):
                began = time.perf_counter()
                for _ in range(frames):
                    parser.engine.infer(frame)
                engine.append((time.perf_counter() - began) / frames)
                for times, way in zip(ways.values(), (several, parser), strict=True):
                    times.append(through(way, source, Path(folder) / "out.mp4"))
            document["engine_ms"] = [1000 * value for value in engine]
            for name, times in ways.items():
                ratios = [a / b for a, b in zip(engine, times, strict=True)]
                document[name.replace(" ", "_")] = {
                    "ms": [1000 * value for value in times],
                    "throughput_over_engine": statistics.median(ratios),
                    "least": min(ratios),
                    "most": max(ratios),
                }
                click.echo(
                    f"engine {1000 * statistics.median(engine):.1f} ms, video, {name}, "
                    f"{1000 * statistics.median(times):.1f} ms: {statistics.median(ratios):.1%} of the engine's rate "
                    f"({min(ratios):.1%} to {max(ratios):.1%})"
                )
            document["eight_frames_ms"] = eights(parser, frame, rounds)
            document["group"] = group(parser, rounds)
        many = Path(folder) / "many.mp4"
        small = np.zeros((64, 64), np.uint8)
        small[16:48, 16:48] = 2
        clip(many, MANY)
        with FaceParser(FakeEngine(small), locate="whole", in_flight=in_flight) as parser:
            seen, memory = count(1), []

            def watch(face: FaceParse) -> FaceParse:
                if next(seen) % (MANY // 10) == 0:
                    memory.append(resident_mib())
                return face

            through(parser, many, Path(folder) / "out.mp4", watch)
            document["memory"] = {"frames": MANY, "resident_mib_after_each_tenth": memory}
            say_memory("frames", memory)
            album = Path(folder) / "photos"
            album.mkdir()
            for index in range(MANY):
                (album / f"{index}.jpg").symlink_to(zoo.PORTRAIT)
            memory = [resident_mib() for one in parser.stream(album) if (one.index + 1) % (MANY // 10) == 0]
            document["memory_of_photos"] = {"photos": MANY, "resident_mib_after_each_tenth": memory}
            say_memory("photos", memory)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    write_whole(RESULT, (json.dumps(document, indent=1) + "\n").encode())


def say_memory(what: str, values: list[float]) -> None:
    """A line for people."""
    click.echo(f"memory after each {MANY // 10} {what}: " + " ".join(f"{value:.0f}" for value in values) + " MiB")


def eights(parser: FaceParser, frame: np.ndarray, rounds: int) -> dict[str, float]:
    """Milliseconds a frame of eight, by how many the engine computes at once."""
    batch, times = np.repeat(frame, 8, axis=0), dict[int, list[float]]({1: [], 8: []})
    usual = parser.engine.max_batch
    for _ in range(rounds):
        for at_once, found in times.items():
            parser.engine.max_batch = at_once
            began = time.perf_counter()
            parser.engine.infer(batch)
            found.append(1000 * (time.perf_counter() - began) / len(batch))
    parser.engine.max_batch = usual
    alone, together = (statistics.median(found) for found in times.values())
    click.echo(f"eight frames: {alone:.1f} ms each one after another, {together:.1f} all at once")
    return {"one_after_another": alone, "all_at_once": together}


def group(parser: FaceParser, rounds: int) -> list[dict[str, float]]:
    """Milliseconds of a photo with n faces."""
    portrait = cv2.resize(reading.load(zoo.PORTRAIT), (240, 240), interpolation=cv2.INTER_AREA)
    photo = np.vstack([np.hstack([portrait] * 5)] * 2)
    boxes = [[240 * x + 62, 240 * y + 64, 240 * x + 178, 240 * y + 213] for y in range(2) for x in range(5)]
    found = []
    for faces in (1, 2, 5, 10):
        times = []
        for _ in range(rounds):
            began = time.perf_counter()
            parser(photo, boxes=boxes[:faces])
            times.append(1000 * (time.perf_counter() - began))
        found.append({"faces": faces, "ms": statistics.median(times), "ms_a_face": statistics.median(times) / faces})
        click.echo(f"{faces} faces: {found[-1]['ms']:.0f} ms, {found[-1]['ms_a_face']:.0f} a face")
    return found


if __name__ == "__main__":
    main()
