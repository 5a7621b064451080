"""What serving costs: `python benchmarks/serve.py`.

One server (`segface-edge serve`, its defaults) and its callers on the same cores:

- one caller, and eight at once, in turn in short rounds: throughput, and how long a request takes (`POST /v1/parse`,
  the bundled portrait, JSON back). Asked: eight are served no slower than one, and their p99 is under 12 times what one
  caller waits.
- a live page's frames of 640 x 480 over /v1/live, two in flight as the page has them, and `segface-edge bench
  --scenario camera --span all` with the same picture, in turn. Asked: 85 % of its rate. The page's frames have their
  faces found and framed, the benchmark's are taken whole.
- memory of the server over many requests. Asked: less than 20 MiB more at the end than after the first tenth.

Writes results/serve/serve.json.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np
from PIL import Image
from websockets.sync.client import connect

from segface_edge import zoo
from segface_edge.bench.machine import environment
from segface_edge.files import make_folder, write_whole

RESULTS = Path(__file__).parent / "results" / "serve"
MAIN = "import segface_edge.cli as cli; cli.main()"
CALLERS = 8
WIDTH, HEIGHT = 640, 480
IN_FLIGHT = 2
# Faster than any CPU parses: how fast the benchmark's pipeline is, not how fast a camera.
CAMERA_FPS = 120
MOST_DRIFT_MIB, LEAST_LIVE, LEAST_THROUGHPUT, MOST_P99 = 20.0, 0.85, 1.0, 12.0


@click.command(help=__doc__)
@click.option("--rounds", default=6, show_default=True, help="Of one caller and of eight, and of the live page.")
@click.option("--seconds", default=5.0, show_default=True, help="Of a round.")
@click.option("--requests", default=5000, show_default=True, help="Over which memory is watched; 0: not.")
@click.option("--live/--no-live", default=True, show_default=True, help="The live page beside the camera benchmark.")
@click.option("--threads", type=int, help="Of the engine; default: its choice.")
@click.option("-o", "out", type=click.Path(path_type=Path), default=RESULTS, help="Folder of the result.")
def main(rounds: int, seconds: float, requests: int, live: bool, threads: int | None, out: Path) -> None:
    """Measure, write."""
    document: dict[str, Any] = {"environment": environment(), "rounds": rounds, "seconds": seconds, "threads": threads}
    options = [] if threads is None else ["--threads", str(threads)]
    with served(*options) as (url, process):
        document["callers"] = callers(url, rounds, seconds)
        show(document["callers"])
        if requests:
            document["memory"] = memory(url, process, requests)
            show(document["memory"])
    if live:
        document["live"] = live_page(options, rounds, seconds)
        show(document["live"])
    document["load"] = os.getloadavg()[0]  # of a machine that does nothing else, two or three
    make_folder(out)
    write_whole(out / "serve.json", (json.dumps(document, indent=2) + "\n").encode())
    click.echo(f"written: {out / 'serve.json'}")


def show(part: dict[str, Any]) -> None:
    for name, value in part.items():
        if not isinstance(value, list):
            click.echo(f"{name}: {value:.3f}" if isinstance(value, float) else f"{name}: {value}")


@contextmanager
def served(*options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The command, and host:port where it is."""
    command = [sys.executable, "-c", MAIN, "serve", "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise SystemExit("the server did not come up")
        yield line.split()[-1].removeprefix("http://"), process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


class Caller:
    """Asks one after another, over one connection."""

    def __init__(self, url: str) -> None:
        self._connection = HTTPConnection(url, timeout=120)
        self._photo = zoo.PORTRAIT.read_bytes()

    def ask(self) -> float:
        """Milliseconds of a request."""
        start = time.perf_counter()
        self._connection.request("POST", "/v1/parse", self._photo, {"Content-Type": "image/jpeg"})
        reply = self._connection.getresponse()
        content = reply.read()
        took = 1000 * (time.perf_counter() - start)
        if reply.status != 200 or b'"hair"' not in content:
            raise SystemExit(f"answered {reply.status}: {content[:200]!r}")
        return took

    def ask_for(self, seconds: float) -> list[float]:
        """Milliseconds of each request that began within so many seconds."""
        end, found = time.perf_counter() + seconds, []
        while time.perf_counter() < end:
            found.append(self.ask())
        return found


def at_once(url: str, count: int, do: Callable[[Caller], list[float]]) -> tuple[list[float], float]:
    """What so many callers find at once, and the seconds until the last one is done."""
    asked = [Caller(url) for _ in range(count)]
    found: list[list[float]] = [[] for _ in asked]

    def run(place: int) -> None:
        found[place] = do(asked[place])

    threads = [threading.Thread(target=run, args=(place,)) for place in range(count)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if not all(found):
        raise SystemExit("a caller got no answer")
    return [one for each in found for one in each], time.perf_counter() - start


def callers(url: str, rounds: int, seconds: float) -> dict[str, Any]:
    """One caller and eight, in turn."""
    at_once(url, CALLERS, lambda caller: caller.ask_for(seconds / 2))  # memory and threads are there
    one: list[float] = []
    eight: list[float] = []
    rates = []
    for turn in range(rounds):
        rate = {}
        for count in (1, CALLERS)[:: 1 if turn % 2 == 0 else -1]:
            found, took = at_once(url, count, lambda caller: caller.ask_for(seconds))
            (one if count == 1 else eight).extend(found)
            rate[count] = len(found) / took
        rates.append(rate)
    alone = statistics.median(one)
    ratios = [rate[CALLERS] / rate[1] for rate in rates]
    p99 = float(np.percentile(eight, 99))
    return {
        "requests": len(one) + len(eight),
        "one_per_second": statistics.median(rate[1] for rate in rates),
        "eight_per_second": statistics.median(rate[CALLERS] for rate in rates),
        "throughput_ratio": statistics.median(ratios),
        "throughput_ratios": ratios,
        "one_ms_p50": alone,
        "one_ms_p99": float(np.percentile(one, 99)),
        "eight_ms_p50": statistics.median(eight),
        "eight_ms_p99": p99,
        "p99_over_one": p99 / alone,
        "met": statistics.median(ratios) >= LEAST_THROUGHPUT and p99 < MOST_P99 * alone,
    }


def memory(url: str, process: subprocess.Popen[str], requests: int) -> dict[str, Any]:
    """Resident memory through many requests of eight callers."""
    each = -(-requests // (10 * CALLERS))
    found = []
    for _ in range(10):
        at_once(url, CALLERS, lambda caller: [caller.ask() for _ in range(each)])
        found.append(resident_mib(process.pid))
    drift = found[-1] - found[0]
    return {
        "memory_requests": 10 * each * CALLERS,
        "resident_mib": found,
        "most_mib": max(found),
        "drift_mib": drift,
        "met": drift < MOST_DRIFT_MIB,
    }


def resident_mib(pid: int) -> float:
    """Memory of a process now (Linux)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def live_page(options: list[str], rounds: int, seconds: float) -> dict[str, Any]:
    """A live page and the camera benchmark, in turn; the server is stopped while that runs."""
    buffer = BytesIO()
    with Image.open(zoo.PORTRAIT) as portrait:
        portrait.convert("RGB").resize((WIDTH, HEIGHT)).save(buffer, "JPEG", quality=85)
    pages, cameras = [], []
    stages: list[dict[str, float]] = []
    with TemporaryDirectory() as folder:
        photo = Path(folder) / "frame.jpg"
        photo.write_bytes(buffer.getvalue())
        for turn in range(rounds):
            for way in ("page", "camera")[:: 1 if turn % 2 == 0 else -1]:
                if way == "camera":
                    cameras.append(camera(photo, options, seconds))
                    continue
                with served(*options) as (url, _):
                    frames(url, buffer.getvalue(), 1.0, [])
                    pages.append(frames(url, buffer.getvalue(), seconds, stages))
    ratios = [page / benchmark for page, benchmark in zip(pages, cameras, strict=True)]
    return {
        "page_per_second": statistics.median(pages),
        "camera_per_second": statistics.median(cameras),
        "live_ratio": statistics.median(ratios),
        "live_ratios": ratios,
        **{f"live_{name}_ms": statistics.median(one[name] for one in stages) for name in stages[0]},
        "met": statistics.median(ratios) >= LEAST_LIVE,
    }


def frames(url: str, picture: bytes, seconds: float, stages: list[dict[str, float]]) -> float:
    """Frames answered a second."""
    with connect(f"ws://{url}/v1/live", compression=None, max_size=None, proxy=None) as page:
        page.recv(60)
        sent = answered = 0
        start = time.perf_counter()
        while time.perf_counter() - start < seconds:
            while sent - answered < IN_FLIGHT:
                page.send(sent.to_bytes(4, "little") + picture)
                sent += 1
            content = page.recv(60)
            if isinstance(content, str):
                raise SystemExit(content)
            length = int.from_bytes(content[:4], "little")
            header = json.loads(content[4 : 4 + length])
            if not header["faces"] or header["dropped"]:
                raise SystemExit(f"a frame has no face, or was dropped: {header}")
            stages.append(header["ms"])
            answered += 1
        return answered / (time.perf_counter() - start)


def camera(photo: Path, options: list[str], seconds: float) -> float:
    """Frames a second of the camera benchmark."""
    command = [sys.executable, "-c", MAIN, "bench", "--scenario", "camera", "--fps", str(CAMERA_FPS), "--span", "all"]
    command += ["--image", str(photo), "--duration", str(seconds), "--json", "-", *options]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout)["fps"])


if __name__ == "__main__":
    main()
