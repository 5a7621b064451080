"""Whether a change made the SDK slower, beside another checkout: `python benchmarks/beside.py --before DIR`.

Both sides run in processes of their own, in turn, whoever was first last time second:

- `parse`: `segface-edge parse` of a folder of photos, start included, the labels written;
- `live`: a frame of 640 x 480 over /v1/live, two in flight;
- `import`: `from segface_edge import FaceParser`;
- `help`: `segface-edge --help`.

A ratio is the median over rounds of this checkout's seconds over the other's: above 1 is slower. Wall time; of
`parse` the CPU's seconds as well. Writes results/beside/beside.json.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import click
import serve as serving
from PIL import Image

from segface_edge import zoo
from segface_edge.bench.machine import environment
from segface_edge.files import make_folder, write_whole

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "beside"
COMMAND = [sys.executable, "-c", serving.MAIN]
LIVE_SECONDS, IMPORTS = 6.0, 5


@click.command(help=__doc__)
@click.option("--before", type=click.Path(path_type=Path, exists=True), required=True, help="Another checkout.")
@click.option("--photos", default=200, show_default=True, help="That each `parse` gets.")
@click.option("--rounds", default=8, show_default=True)
@click.option("-o", "out", type=click.Path(path_type=Path), default=RESULTS, help="Folder of the result.")
def main(before: Path, photos: int, rounds: int, out: Path) -> None:
    """Measure, write."""
    sides = {"before": before.resolve(), "now": HERE.parent}
    found: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "photos"
        frame = some_photos(source, photos)
        measures: dict[str, Callable[[], dict[str, float]]] = {
            "parse": lambda: parse(source, Path(folder) / "out"),
            "live": lambda: live(frame),
            "import": lambda: quickest([sys.executable, "-c", "from segface_edge import FaceParser"], "import"),
            "help": lambda: quickest([*COMMAND, "--help"], "help"),
        }
        for turn in range(rounds + 1):
            for measure in measures.values():
                for side in list(sides)[:: 1 if turn % 2 == 0 else -1]:
                    os.environ["PYTHONPATH"] = str(sides[side])
                    values = measure()
                    if turn:  # the first warms the disk's cache and both sides' compiled files
                        for name, value in values.items():
                            found.setdefault(name, {"before": [], "now": []})[side].append(value)
                            click.echo(f"{turn} {name} {side}: {value:.3f}", err=True)
    rows = {}
    for name, values in found.items():
        ratios = [now / then for then, now in zip(values["before"], values["now"], strict=True)]
        rows[name] = {side: statistics.median(several) for side, several in values.items()}
        rows[name] |= {"ratio": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios)}
        click.echo(f"{name}: {json.dumps(rows[name])}")
    document = {"environment": environment(), "photos": photos, "rounds": rounds, "seconds": rows}
    document["load"] = os.getloadavg()[0]
    make_folder(out)
    write_whole(out / "beside.json", (json.dumps(document, indent=1) + "\n").encode())


def some_photos(folder: Path, count: int) -> bytes:
    """Cuts of the bundled portrait, as photos; and one as a live page's frame."""
    folder.mkdir()
    with Image.open(zoo.PORTRAIT) as file:
        portrait = file.convert("RGB")
    for index in range(count):
        cut = index % 40
        portrait.crop((cut, cut // 2, portrait.width - cut, portrait.height - cut)).save(folder / f"{index:04}.jpg")
    buffer = BytesIO()
    portrait.resize((serving.WIDTH, serving.HEIGHT)).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def parse(source: Path, out: Path) -> dict[str, float]:
    """Seconds of a folder."""
    cpu = _cpu()
    took = _seconds([*COMMAND, "parse", str(source), "-o", str(out), "--visualize", "mask"])
    return {"parse": took, "parse, CPU": _cpu() - cpu}


def live(frame: bytes) -> dict[str, float]:
    """Seconds a frame."""
    stages: list[dict[str, float]] = []
    with serving.served() as (url, _):
        serving.frames(url, frame, 1.0, stages)
        return {"live": 1 / serving.frames(url, frame, LIVE_SECONDS, stages)}


def quickest(command: list[str], name: str) -> dict[str, float]:
    """Seconds of the quickest of several runs."""
    return {name: min(_seconds(command) for _ in range(IMPORTS))}


def _seconds(command: list[str]) -> float:
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[3:])} ended with {done.returncode}: {done.stderr.strip()[-400:]}")
    return time.perf_counter() - began


def _cpu() -> float:
    """CPU seconds of the processes that have ended."""
    used: Any = resource.getrusage(resource.RUSAGE_CHILDREN)
    return float(used.ru_utime + used.ru_stime)


if __name__ == "__main__":
    main()
