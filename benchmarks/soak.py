"""Whether anything grows where the SDK runs for long: `python benchmarks/soak.py --minutes 30`.

Three at once, each in a process of its own, for the minutes of the warm-up and those that are judged:

- `stream`: one parser, `FaceParser.stream` of photos that are made on the way, each another cut, size and format of the
  bundled one, every twentieth of them broken off in the middle; then a video of 50 frames with `steady`; and so on.
- `cycles`: a parser opened, one photo, closed; another size of photo each time.
- `serve`: `segface-edge serve` under the load of photos, of bytes that are no photo, of callers that hang up amid
  their photo, and of a live page that comes, sends 40 frames and goes.

All three keep small as the commands `parse`, `serve` and `label` do (`segface_edge/memory.py`). Resident memory, open
files (sockets too) and threads are read every few seconds; memory, which goes up and down with every photo and by
100 MB with every parser, is sampled four times a second meanwhile: the mean, the least and the most. Asked of the
minutes after the warm-up: the median (of the means) of their last quarter less than 5 MB over the median of their
first, and no more files or threads at the least (a caller who is there has a socket).

Writes results/soak/soak.json and soak.png. Exit code 1 where anything grew. Needs psutil, and the extras `serve` and
`plot`.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from http.client import HTTPConnection
from io import BytesIO
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import click
import matplotlib as mpl
import numpy as np
import psutil
from matplotlib.figure import Figure
from PIL import Image
from serve import served
from websockets.sync.client import connect

from segface_edge import FaceParser, zoo
from segface_edge.bench.machine import environment
from segface_edge.errors import ImageError
from segface_edge.files import make_folder, write_whole
from segface_edge.memory import keep_small
from segface_edge.plots.figure import PLAIN, save_figure
from segface_edge.sources.video_out import VideoWriter

RESULTS = Path(__file__).parent / "results" / "soak"
MOST_DRIFT_MB, SAMPLES_A_SECOND = 5.0, 4
FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
COLORS = {"stream": "#4477aa", "cycles": "#228833", "serve": "#ee6677"}
Counter = Synchronized  # of an int: how much was done


@click.command(help=__doc__)
@click.option(
    "--minutes", type=click.FloatRange(min=0), default=30.0, show_default=True, help="Minutes that are judged."
)
@click.option("--warm-up", type=click.FloatRange(min=0), default=15.0, show_default=True, help="Minutes before them.")
@click.option(
    "--every", type=click.FloatRange(min=0.25), default=5.0, show_default=True, help="Seconds between two readings."
)
@click.option("--only", multiple=True, type=click.Choice(sorted(COLORS)), help="One of the three; may be repeated.")
@click.option("--of", "earlier", type=click.Path(exists=True, path_type=Path), help="Judge and draw a soak.json again.")
@click.option("-o", "out", type=click.Path(path_type=Path), default=RESULTS, help="Folder of the result.")
def main(minutes: float, warm_up: float, every: float, only: tuple[str, ...], earlier: Path | None, out: Path) -> None:
    """Run, read, judge, write."""
    document: dict[str, Any]
    if earlier is not None:
        document = json.loads(earlier.read_text())
    else:
        if 60 * minutes < 8 * every:
            raise click.UsageError(
                f"{minutes:g} minutes are too few: 8 readings are needed, of --every {every:g} seconds"
            )
        document = {"environment": environment(), "minutes": minutes, "every": every, "warm_up": warm_up}
        document["readings"] = run(
            [name for name in COLORS if name in (only or COLORS)], 60 * (warm_up + minutes), every
        )
    readings, warm_up = document["readings"], document["warm_up"]
    document["asked"] = {"drift_mb": MOST_DRIFT_MB}
    document["found"] = {name: judged(readings[name], 60 * warm_up) for name in readings}
    make_folder(out)
    write_whole(out / "soak.json", (json.dumps(document) + "\n").encode())
    save_figure(figure(readings, warm_up), out / "soak.png")
    for name, one in document["found"].items():
        click.echo(f"{name}: {json.dumps(one)}")
    click.echo(f"written: {out / 'soak.json'}")
    sys.exit(0 if all(one["met"] for one in document["found"].values()) else 1)


def run(names: list[str], seconds: float, every: float) -> dict[str, list[dict[str, float]]]:
    """All of them at once, read until the time is over."""
    spawned = multiprocessing.get_context("spawn")
    stop = spawned.Event()
    watched: dict[str, psutil.Process] = {}
    counts: dict[str, Counter] = {name: spawned.Value("q", 0) for name in names}
    callers: Future[None] | None = None
    if "serve" in names:
        serving = served()
        url, server = serving.__enter__()
        watched["serve"] = psutil.Process(server.pid)
        callers = ThreadPoolExecutor(1).submit(load, url, stop, counts["serve"])
    for name, work in (("stream", stream), ("cycles", cycles)):
        if name in names:
            process = spawned.Process(target=work, args=(stop, counts[name]), daemon=True)
            process.start()
            watched[name] = psutil.Process(process.pid)
    try:
        return read(watched, counts, seconds, every, callers)
    finally:
        stop.set()
        if callers is not None:
            try:
                callers.result(180)
            finally:
                serving.__exit__(None, None, None)


def read(
    watched: dict[str, psutil.Process],
    counts: dict[str, Counter],
    seconds: float,
    every: float,
    callers: Future[None] | None,
) -> dict[str, list[dict[str, float]]]:
    """What each process holds, every so many seconds: MB as mean, least and most of that time. Callers that
    end before that end it."""
    began = time.monotonic()
    readings: dict[str, list[dict[str, float]]] = {name: [] for name in watched}
    while time.monotonic() - began < seconds and not (callers is not None and callers.done()):
        samples: dict[str, list[float]] = {name: [] for name in watched}
        for _ in range(max(1, round(every * SAMPLES_A_SECOND))):
            time.sleep(1 / SAMPLES_A_SECOND)
            for name, process in watched.items():
                if process.status() == psutil.STATUS_ZOMBIE:
                    raise SystemExit(f"{name} ended after {time.monotonic() - began:.0f} s, {counts[name].value} done")
                samples[name].append(process.memory_info().rss / 1e6)
        for name, process in watched.items():
            mb = samples[name]
            reading = {"s": round(time.monotonic() - began, 1), "mb": round(statistics.fmean(mb), 2)}
            reading |= {"least_mb": round(min(mb), 2), "most_mb": round(max(mb), 2)}
            reading |= {"files": process.num_fds(), "threads": process.num_threads(), "done": counts[name].value}
            readings[name].append(reading)
    return readings


def judged(readings: list[dict[str, float]], warm_up: float) -> dict[str, Any]:
    """The first and the last quarter of what comes after the warm-up, seconds."""
    warm = [one for one in readings if one["s"] > warm_up]
    quarter = len(warm) // 4

    def medians(key: str) -> tuple[float, float]:
        first, last = ([one[key] for one in part] for part in (warm[:quarter], warm[-quarter:]))
        return round(statistics.median(first), 2), round(statistics.median(last), 2)

    def least(key: str) -> tuple[int, int]:
        return int(min(one[key] for one in warm[:quarter])), int(min(one[key] for one in warm[-quarter:]))

    found: dict[str, Any] = {key: medians(key) for key in ("mb", "least_mb", "most_mb")}
    found |= {key: least(key) for key in ("files", "threads")}
    found["drift_mb"] = round(found["mb"][1] - found["mb"][0], 2)
    found["done"] = int(readings[-1]["done"])
    grew = [key for key in ("files", "threads") if found[key][1] > found[key][0]]
    return found | {"met": found["drift_mb"] < MOST_DRIFT_MB and not grew and warm[-1]["done"] > warm[0]["done"]}


def photos(seed: int) -> Iterator[bytes]:
    """The portrait without end: each time another cut of it, size and format; every twentieth broken off."""
    chance = random.Random(seed)
    with Image.open(zoo.PORTRAIT) as file:
        portrait = file.convert("RGB")
    for index in range(sys.maxsize):
        share = chance.uniform(0.6, 1.0)
        width, height = (round(share * side) for side in portrait.size)
        x, y = chance.randint(0, portrait.width - width), chance.randint(0, portrait.height - height)
        side = chance.randint(200, 900)
        picture = portrait.crop((x, y, x + width, y + height)).resize((side, round(side * height / width)))
        buffer = BytesIO()
        picture.save(buffer, chance.choice(FORMATS))
        content = buffer.getvalue()
        yield content[: len(content) // 2] if index % 20 == 19 else content


def stream(stop: Event, count: Counter) -> None:
    """One parser for all of the time."""
    keep_small()
    source = photos(1)
    with tempfile.TemporaryDirectory() as folder, FaceParser(threads=1) as parser:
        clip = Path(folder) / "clip.mp4"
        writer = VideoWriter(clip, fps=25)
        with Image.open(zoo.PORTRAIT) as portrait:
            for index in range(50):
                writer.write(np.asarray(portrait.convert("RGB").rotate(index / 5).resize((320, 320))))
        writer.close()
        while not stop.is_set():
            some = (next(source) for _ in range(60))
            for made in (parser.stream(some), parser.stream(clip, steady=True)):
                for one in made:
                    if one.face is not None:
                        one.face.areas()
                    with count.get_lock():
                        count.value += 1
                    if stop.is_set():
                        return


def cycles(stop: Event, count: Counter) -> None:
    """A parser for each photo."""
    keep_small()
    source = photos(2)
    while not stop.is_set():
        content = next(source)
        with FaceParser(threads=1) as parser, suppress(ImageError):  # of the photos that are broken off
            parser(content)
        with count.get_lock():
            count.value += 1


def load(url: str, stop: Event, count: Counter) -> None:
    """Callers of every kind, until it stops; what goes wrong with one of them ends all."""

    failed = threading.Event()

    def again(do: Callable[[str, Iterator[bytes]], None], seed: int) -> None:
        source = photos(seed)
        while not stop.is_set() and not failed.is_set():
            do(url, source)
            with count.get_lock():
                count.value += 1

    kinds = (asking, asking, hanging_up, watching)
    with ThreadPoolExecutor(len(kinds)) as pool:
        done = [pool.submit(again, do, seed) for seed, do in enumerate(kinds, 3)]
        wait(done, return_when=FIRST_EXCEPTION)
        failed.set()
    for one in done:
        one.result()


def asking(url: str, source: Iterator[bytes]) -> None:
    """Twenty photos over one connection, one of which is broken. A busy server may answer and
    close before it has the photo."""
    connection = HTTPConnection(url, timeout=120)
    for _ in range(20):
        try:
            connection.request("POST", "/v1/parse", next(source))
            reply = connection.getresponse()
            reply.read()
        except (BrokenPipeError, ConnectionResetError):
            break
        if reply.status not in (200, 400, 415, 422, 503):
            raise RuntimeError(f"the server answered {reply.status}")
    connection.close()


def hanging_up(url: str, source: Iterator[bytes]) -> None:
    """A caller who goes amid its photo."""
    host, port = url.rsplit(":", 1)
    content = next(source)
    with socket.create_connection((host, int(port)), 60) as plain:
        head = f"POST /v1/parse HTTP/1.1\r\nHost: {url}\r\nContent-Length: {len(content)}\r\n\r\n"
        plain.sendall(head.encode() + content[: len(content) // 3])
        time.sleep(0.5)


def watching(url: str, source: Iterator[bytes]) -> None:
    """A live page of forty frames."""
    frames = [content for content in (next(source) for _ in range(60)) if content[:2] == b"\xff\xd8"]
    with connect(f"ws://{url}/v1/live", compression=None, max_size=None, proxy=None) as page:
        page.recv(60)
        for index in range(40):
            page.send(index.to_bytes(4, "little") + frames[index % len(frames)])
            page.recv(60)


def figure(readings: dict[str, list[dict[str, float]]], warm_up: float) -> Figure:
    """Memory (its mean; least and most as a shade), files and threads over time; the warm-up (minutes) is grey."""
    with mpl.rc_context(PLAIN):
        drawn = Figure((8, 7), layout="constrained")
        rows = drawn.subplots(3, 1, sharex=True, height_ratios=(2, 1, 1))
        for axes, (key, title) in zip(
            rows, (("mb", "resident memory, MB"), ("files", "open files"), ("threads", "threads")), strict=True
        ):
            for name, series in readings.items():
                label = f"{name}: {int(series[-1]['done'])} done"
                minutes = [one["s"] / 60 for one in series]
                axes.plot(minutes, [one[key] for one in series], c=COLORS[name], label=label)
                if key == "mb":
                    span = ([one[which] for one in series] for which in ("least_mb", "most_mb"))
                    axes.fill_between(minutes, *span, color=COLORS[name], alpha=0.2, lw=0)
            axes.axvspan(0, warm_up, color="0.93", zorder=0)
            axes.set_ylabel(title)
            axes.set_ylim(bottom=0)
            axes.grid(color="0.9")
            axes.spines[["top", "right"]].set_visible(False)
        rows[-1].set_xlabel("minutes")
        rows[0].legend(loc="lower right", fontsize=9)
        last = max(series[-1]["s"] for series in readings.values()) / 60
        drawn.suptitle(f"{last:.0f} minutes of work without a pause (the warm-up is grey)", fontsize=11)
    return drawn


if __name__ == "__main__":
    main()
