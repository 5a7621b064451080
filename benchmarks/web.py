"""The page of `export --web` beside Python: `python benchmarks/web.py --web-runtime node_modules/onnxruntime-web`.

For each model a page is written and opened in Chromium without a window. Its engine is given the network's squares of
photos, and its whole way is given the photos' pixels, as they are and put askew into larger ones: how many labels are
those of ONNX Runtime and of `FaceParser`. Then the same square is run by both in turn, with one thread and, in a page
that is cross-origin isolated, with two. Needs playwright and Chromium.

Writes results/web/DEVICE.json: agreement, milliseconds of each round, and the median ratio of the page's to Python's.
"""

from __future__ import annotations

import base64
import json
import statistics
import tempfile
import time
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from PIL import Image
from playwright.sync_api import Browser, Page

from segface_edge import FaceParser, zoo
from segface_edge.bench.machine import Watch, device_name, environment
from segface_edge.engines import open_engine
from segface_edge.files import write_whole
from segface_edge.pictures.fitting import fit
from segface_edge.serving.web import write_page
from segface_edge.serving.web_runtime import find_runtime

HERE = Path(__file__).resolve().parent
_SPEC = spec_from_file_location("live_page", HERE.parent / "docs" / "live_page.py")
assert _SPEC is not None
assert _SPEC.loader is not None
live_page = module_from_spec(_SPEC)
_SPEC.loader.exec_module(live_page)

Pixels = npt.NDArray[np.uint8]
GREY = (90, 100, 110)


def text_of(pixels: Pixels) -> str:
    """Bytes as a page takes them."""
    return base64.b64encode(np.ascontiguousarray(pixels).tobytes()).decode()


def labels_of(text: str, *shape: int) -> Pixels:
    """And gives them."""
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(shape)


def engine_of(chromium: Browser, address: str, threads: int) -> tuple[Page, dict[str, Any]]:
    """A page with its engine alone, and what it says of it."""
    page = chromium.new_context().new_page()
    page.set_default_timeout(300_000)
    page.goto(f"{address}/licences.txt")  # of its origin, and without a page of its own
    return page, page.evaluate(live_page.ENGINE, {"engine": "wasm", "threads": threads})


def askew(photo: Pixels, index: int) -> Pixels:
    """A photo, smaller and turned by up to 20 degrees, in one of 640 x 480: always the same of each index."""
    chance = np.random.default_rng(index)
    side = int(chance.integers(220, 420))
    turned = Image.fromarray(photo).resize((side, side)).rotate(
        float(chance.uniform(-20, 20)), Image.Resampling.BICUBIC, fillcolor=GREY
    )  # fmt: skip
    whole = Image.new("RGB", (640, 480), GREY)
    whole.paste(turned, (int(chance.integers(0, 640 - side)), int(chance.integers(0, 480 - side))))
    return np.asarray(whole)


def agreement(page: Page, model: Path, photos: list[Pixels]) -> dict[str, Any]:
    """Shares of labels that are Python's: of squares, of portraits, of photos with a face askew (pixels of faces)."""
    found: dict[str, list[float]] = {"squares": [], "portraits": [], "askew": []}
    with FaceParser(model, threads=1) as parser:
        size = parser.engine.spec.size
        for index, photo in enumerate(photos):
            square = fit(photo, size).pixels
            labels = labels_of(page.evaluate("(square) => run(square)", text_of(square)), size, size)
            found["squares"].append(float((labels == parser.engine.run(square[None]).labels[0]).mean()))
            for kind, picture in (("portraits", photo), ("askew", askew(photo, index))):
                height, width = picture.shape[:2]
                given = page.evaluate("(picture) => parse(picture)", [text_of(picture), width, height])
                labels, wanted = labels_of(given["labels"], height, width), parser(picture).labels
                faces = (labels > 0) | (wanted > 0)
                found[kind].append(float((labels == wanted)[faces].mean()) if faces.any() else 1.0)
    return {
        kind: {"photos": len(shares), "mean": float(np.mean(shares)), "least": min(shares)}
        for kind, shares in found.items()
    }


def speed(page: Page, model: Path, threads: int, rounds: int, count: int) -> dict[str, Any]:
    """Milliseconds of a square, medians of each round, in turn."""
    with open_engine(model, threads=threads) as engine, Image.open(zoo.PORTRAIT) as photo:
        square = fit(np.asarray(photo.convert("RGB")), engine.spec.size).pixels
        page.evaluate("(asked) => time(asked)", [text_of(square), 10])
        found = []
        for _ in range(rounds):
            browser = statistics.median(page.evaluate("(asked) => time(asked)", [text_of(square), count]))
            times = []
            for run in range(count + 3):
                start = time.perf_counter()
                engine.run(square[None])
                if run >= 3:
                    times.append(1000 * (time.perf_counter() - start))
            found.append({"browser_ms": browser, "python_ms": statistics.median(times)})
    ratio = statistics.median(row["browser_ms"] / row["python_ms"] for row in found)
    return {"threads": threads, "rounds": found, "ratio": ratio}


def stages(page: Page) -> dict[str, float]:
    """Milliseconds of each stage of a camera's frame, 640 x 480, medians of ten."""
    with Image.open(zoo.PORTRAIT) as photo:
        picture = askew(np.asarray(photo.convert("RGB")), 1)
    rows = [page.evaluate("(picture) => parse(picture)", [text_of(picture), 640, 480])["ms"] for _ in range(13)][3:]
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


@click.command()
@click.option("--model", "models", multiple=True, type=click.Path(path_type=Path), help="Default: the bundled one.")
@click.option("--web-runtime", type=click.Path(path_type=Path), help="As of `segface-edge export`.")
@click.option("--photos", type=click.Path(path_type=Path), help="A folder of portraits, beside the bundled photos.")
@click.option("--count", default=20, show_default=True, help="So many of them.")
@click.option("--rounds", default=5, show_default=True, help="Of timing, in turn.")
@click.option("--runs", default=15, show_default=True, help="Of each round.")
@click.option("--part", type=click.Choice(["all", "agreement", "speed"]), default="all", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Where to write; default: results/web/DEVICE.json.")
def main(
    models: tuple[Path, ...],
    web_runtime: Path | None,
    photos: Path | None,
    count: int,
    rounds: int,
    runs: int,
    part: str,
    out: Path | None,
) -> None:
    """Measure, write. A part that is measured by itself joins what was written before."""
    machine, watch, runtime = environment(), Watch(), find_runtime(web_runtime)
    paths = [zoo.PORTRAIT, zoo.ASTRONAUT, *(sorted(photos.glob("*.jpg"))[:count] if photos else [])]
    pictures = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    target = out or HERE / "results" / "web" / f"{device_name(machine)}.json"
    document: dict[str, Any] = json.loads(target.read_text()) if target.exists() and part != "all" else {"models": {}}
    for model in models or (zoo.DEFAULT_MODEL,):
        row = document["models"].setdefault(model.name, {})
        with (
            tempfile.TemporaryDirectory() as folder,
            live_page.browser(live_page.clip(Path(folder) / "camera.mjpeg")) as chromium,
        ):
            write_page(model, Path(folder) / "page", runtime)
            document["chromium"] = chromium.version
            with (
                live_page.files(Path(folder) / "page") as plain,
                live_page.files(Path(folder) / "page", isolated=True) as isolated,
            ):
                page, row["told"] = engine_of(chromium, plain, 1)
                if part != "speed":
                    row["agreement"] = agreement(page, model, pictures)
                    for kind, shares in row["agreement"].items():
                        click.echo(f"{model.name}: {kind}: {shares['mean']:.6f}, least {shares['least']:.6f}")
                if part != "agreement":
                    row["speed"] = [speed(page, model, 1, rounds, runs)]
                    row["stages_ms"] = stages(page)
                    page.close()
                    page, told = engine_of(chromium, isolated, 2)
                    if told["device"] == "WASM, 2 threads":
                        row["speed"].append(speed(page, model, 2, rounds, runs))
                    for one in row["speed"]:
                        click.echo(f"{model.name}: {one['threads']} threads: {one['ratio']:.2f} times Python's time")
                    click.echo(f"{model.name}: milliseconds of a frame: {row['stages_ms']}")
        # After each model: what was measured is not lost with a later one.
        document |= {"environment": machine, "onnxruntime_web": runtime.version}
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, (json.dumps(document, indent=1) + "\n").encode())
    document[f"during_{part}"] = watch.stop()
    write_whole(target, (json.dumps(document, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
