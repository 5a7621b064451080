"""The live page in a browser beside the benchmark's camera: `python benchmarks/live.py`.

Chromium without a window, with a camera of 640 x 480 from a file, is shown by `segface-edge serve`; after it has warmed
up, the answers that the page counts are read off it. Then, with the page closed, `segface-edge bench --scenario camera`
runs on a photo of the same size; and so on, in turn. Server, browser and drawing share the machine's cores, as where
somebody looks at their own machine. Needs the extra `serve`, playwright and Chromium.

Writes results/live/DEVICE.json: each round, and the median ratio of the page's rate to the benchmark's.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import click
from PIL import Image
from playwright.sync_api import Page

from segface_edge.bench.machine import Watch, device_name, environment
from segface_edge.files import write_whole

HERE = Path(__file__).resolve().parent
_SPEC = spec_from_file_location("live_page", HERE.parent / "docs" / "live_page.py")
assert _SPEC is not None
assert _SPEC.loader is not None
live_page = module_from_spec(_SPEC)
_SPEC.loader.exec_module(live_page)

SPANS = ("frame", "all")


def of_page(page: Page, seconds: float) -> dict[str, float]:
    """Answers a second of a page that is live, and milliseconds of each of its figures."""
    page.wait_for_timeout(2000)
    first, began = live_page.answers(page), time.perf_counter()
    page.wait_for_timeout(1000 * seconds)
    found = live_page.answers(page) - first
    shown = {name: float(page.locator(f"#{name}").inner_text()) for name in ("rate", "trip", "total", "dropped")}
    return {
        "answers_per_second": found / (time.perf_counter() - began),
        **{f"shown_{name}": v for name, v in shown.items()},
    }


def of_bench(image: Path, span: str, *, fps: float, seconds: float, threads: int | None) -> float:
    """Answers a second of `segface-edge bench --scenario camera`."""
    options = ["--scenario", "camera", "--fps", fps, "--span", span, "--image", image, "--duration", seconds]
    if threads is not None:
        options += ["--threads", threads]
    command = [sys.executable, "-c", "from segface_edge.cli import main; main()", "bench", "--json", "-"]
    done = subprocess.run([*command, *map(str, options)], capture_output=True, text=True, check=True)
    rate: float = json.loads(done.stdout)["fps"]
    return rate


@click.command()
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Of each, in turn.")
@click.option("--seconds", default=20.0, show_default=True, help="Of measuring, of each.")
@click.option("--fps", default=30.0, show_default=True, help="Of the benchmark's camera; the browser's gives 30.")
@click.option("--threads", type=click.IntRange(1), help="Of both engines; default: as they choose.")
@click.option("--in-step", is_flag=True, help="The page draws the frames that were parsed, not the newest.")
@click.option("--out", type=click.Path(path_type=Path), help="Where to write; default: results/live/DEVICE.json.")
def main(rounds: int, seconds: float, fps: float, threads: int | None, in_step: bool, out: Path | None) -> None:
    """Measure in turn, write."""
    machine, watch = environment(), Watch()
    serving = () if threads is None else ("--threads", threads)
    found: list[dict[str, Any]] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        live_page.server(*serving, port=live_page.free_port()) as address,
        live_page.browser(live_page.clip(Path(folder) / "camera.mjpeg")) as chromium,
    ):
        image = Path(folder) / "frame.png"
        with Image.open(Path(folder) / "camera.mjpeg") as first:
            first.save(image)
        for index in range(rounds):
            with chromium.new_context(viewport=live_page.DESKTOP) as context:
                page = live_page.live(context, address)
                page.locator("#step").set_checked(in_step)
                row: dict[str, Any] = {"page": of_page(page, seconds)}
            for span in SPANS:
                row[f"bench_{span}"] = of_bench(image, span, fps=fps, seconds=seconds, threads=threads)
            found.append(row)
            rates = ", ".join(f"bench {span} {row[f'bench_{span}']:.1f}" for span in SPANS)
            click.echo(f"round {index + 1}: page {row['page']['answers_per_second']:.1f}, {rates} a second")
        version = chromium.version
    ratios = {
        span: statistics.median(row["page"]["answers_per_second"] / row[f"bench_{span}"] for row in found)
        for span in SPANS
    }
    document = {
        "environment": machine,
        "during": watch.stop(),
        "chromium": version,
        "size": list(live_page.SIZE),
        "camera_fps": fps,
        "seconds": seconds,
        "threads": threads,
        "in_step": in_step,
        "rounds": found,
        "ratio": ratios,
    }
    target = out or HERE / "results" / "live" / f"{device_name(machine)}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, (json.dumps(document, indent=1) + "\n").encode())
    for span, ratio in ratios.items():
        click.echo(f"page over bench --scenario camera --span {span}: {ratio:.2f}")


if __name__ == "__main__":
    main()
