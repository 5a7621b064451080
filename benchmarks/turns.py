"""What it costs to find faces at any size and turn, and what it brings.

    python benchmarks/turns.py --data DIR --backgrounds DIR --before CHECKOUT

- cost: photos of 12 megapixels with one face, the same turned by a right angle, two faces of which one is turned, ten
  small faces, none. `--before` is a checkout of the commit to compare with, which looks for faces in a process of its
  own; both take turns, photo by photo. Detection alone, in milliseconds of one core: others may use the machine.
- scores: of the detector alone, by the height of a face and the turn that it is in.
- turns: labelled portraits turned by 0, 90, 180 and 270 degrees without a word of it; F1 against the labels, and
  against what is parsed of the upright photo.
- close: portraits cropped to the face and enlarged to 1280 pixels against copies of 320: faces that are found, F1;
  and against the same photo in a square that is 0.3 % larger, which is what the network alone makes of nothing.
- small: one face in a photo of 4000 x 3000, by its height and by `look`: how many are found, and the milliseconds of
  the fastest look.

Writes results/anywhere/turns.json.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import click
import cv2
import numpy as np

from segface_edge import FaceParser
from segface_edge.bench.machine import environment
from segface_edge.datasets.opening import open_dataset
from segface_edge.evaluation.histogram import Histogram
from segface_edge.faces.yunet import YuNet
from segface_edge.files import write_whole
from segface_edge.labels import label_set
from segface_edge.pictures import reading
from segface_edge.pictures.framing import Square, fit_square, square_of
from segface_edge.pictures.restoring import restore
from segface_edge.sources.photos import find

RESULTS = Path(__file__).parent / "results" / "anywhere"
ORDER = label_set("celebamask-hq")
PHOTO = (3000, 4000)
FACE = 0.62  # the height of a face's box, of its portrait
LARGER = 1.003  # a square that is hardly larger
CLOSE = 0.2  # of a portrait's side, cut off all around
HEIGHTS = (15, 20, 30, 40, 60)
LOOKS = (1280, 2560)
# The other side of the cost: reads paths of .npy photos, answers with milliseconds.
ASKED = """
import sys
from time import perf_counter, process_time
from pathlib import Path
import cv2, numpy as np
import segface_edge
from segface_edge import FaceParser
parser = FaceParser(locate="yunet", detector=sys.argv[1])
find = parser._stages.yunet
print(Path(segface_edge.__file__).parents[1], flush=True)
for line in sys.stdin:
    photo = np.load(line.strip())
    took = []
    for threads, clock in ((1, process_time), (2, perf_counter)):
        cv2.setNumThreads(threads)
        start = clock()
        faces = find(photo)
        took.append(1000 * (clock() - start))
    print(*took, len(faces), flush=True)
"""


def clockwise(picture: np.ndarray, quarters: int) -> np.ndarray:
    return np.ascontiguousarray(np.rot90(picture, -quarters))


def group(portraits: list[np.ndarray], background: np.ndarray, side: int, turned: tuple[int, ...]) -> np.ndarray:
    """A photo of 12 megapixels with portraits of this side, the turned ones turned by 180 degrees."""
    corner = background[: background.shape[0] // 5, : background.shape[1] // 5]
    photo = cv2.resize(corner, PHOTO[::-1], interpolation=cv2.INTER_CUBIC)
    columns = PHOTO[1] // (side + 40)
    for index, portrait in enumerate(portraits):
        row, column = divmod(index, columns)
        top, left = 60 + row * (side + 40), 40 + column * (side + 40)
        drawn = cv2.resize(portrait, (side, side), interpolation=cv2.INTER_AREA)
        photo[top : top + side, left : left + side] = clockwise(drawn, 2 if index in turned else 0)
    return photo


def cost(
    portraits: list[np.ndarray], background: np.ndarray, before: Path, detector: Path, rounds: int, folder: Path
) -> list[Any]:
    """Milliseconds a photo, before and after in turn: of one core (`core`), and as they pass on two (`two`)."""
    one = group(portraits[:1], background, 2400, ())
    photos = {
        "one face": one,
        "one face, turned by 90 degrees": clockwise(one, 1),
        "two faces, one turned": group(portraits[:2], background, 1400, (1,)),
        "ten small faces": group(portraits[:10], background, 300, ()),
        "no face": group([], background, 300, ()),
    }
    sides = {}
    for name, checkout in {"before": before, "after": Path(__file__).resolve().parents[1]}.items():
        sides[name] = subprocess.Popen(
            [sys.executable, "-c", ASKED, str(detector)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # The current folder comes before PYTHONPATH.
            cwd=checkout,
            env={"PYTHONPATH": str(checkout), "PATH": "/usr/bin:/bin"},
        )
        answered = Path(sides[name].stdout.readline().strip())  # type: ignore[union-attr]
        if answered != checkout:
            raise click.ClickException(f"{name}: {answered} was measured, not {checkout}")
    rows = []
    for name, photo in photos.items():
        path = folder / "photo.npy"
        np.save(path, photo)
        times: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
        found = {}
        for index in range(rounds + 1):
            for side, process in list(sides.items())[:: (-1) ** index]:
                assert process.stdin
                assert process.stdout
                process.stdin.write(f"{path}\n")
                process.stdin.flush()
                core, two, faces = process.stdout.readline().split()
                found[side] = int(faces)
                if index:  # the first is a warm-up
                    times[side].append((float(core), float(two)))
        row: dict[str, Any] = {"photo": name, "faces": found, "rounds": rounds}
        for place, kind in enumerate(("core", "two")):
            before_ms, after_ms = (np.array(times[side])[:, place] for side in sides)
            more = after_ms - before_ms
            row[kind] = {
                "before_ms": median(before_ms),
                "after_ms": median(after_ms),
                "more_ms": median(more),
                "more_ms_quartiles": np.quantile(more, [0.25, 0.75]).tolist(),
            }
            click.echo(
                f"{name:32} {kind:5} {row[kind]['before_ms']:7.1f} -> {row[kind]['after_ms']:7.1f} ms, "
                f"{row[kind]['more_ms']:+.1f} more, faces {found}"
            )
        rows.append(row)
    for process in sides.values():
        process.terminate()
    return rows


def scores(portraits: list[np.ndarray], detector: Path) -> list[Any]:
    """Quantiles of the best score."""
    yunet, rows = YuNet(detector), []
    for height in (24, 40, 60, 90, 130, 200, 300):
        side = round(height / FACE)
        shown = [cv2.resize(portrait, (side, side), interpolation=cv2.INTER_AREA) for portrait in portraits]
        shown = [cv2.copyMakeBorder(one, *[side // 6 + 8] * 4, cv2.BORDER_CONSTANT, value=(128,) * 3) for one in shown]
        best = np.array(
            [
                [max((face.score for face in yunet(clockwise(one[..., ::-1], q))), default=0) for q in range(4)]
                for one in shown
            ]
        )
        rows.append(
            {
                "height": height,
                **{str(90 * q): np.quantile(best[:, q], [0, 0.05, 0.5, 0.95, 1]).round(3).tolist() for q in range(4)},
                "upright_is_first": int((best.argmax(1) == 0).sum()),
                "of": len(best),
            }
        )
        click.echo(json.dumps(rows[-1]))
    return rows


def f1(histogram: Histogram) -> float:
    """Mean of all classes but background."""
    return float(np.nanmean(histogram.f1()[1:]))


def turns(parser: FaceParser, samples: list[Any]) -> list[Any]:
    """Portraits without a word of how they are turned."""
    rows = []
    upright = [parser(sample.image).remap(ORDER).labels for sample in samples]
    for quarters in range(4):
        truth, same, right = Histogram(len(ORDER)), Histogram(len(ORDER)), 0
        for sample, wanted in zip(samples, upright, strict=True):
            face = parser(clockwise(reading.load(sample.image), quarters))
            labels = np.rot90(face.remap(ORDER).labels, quarters)
            truth.add(sample.read_labels(ORDER), labels)
            same.add(wanted, labels)
            right += face.turn == 90 * quarters
        rows.append({"turn": 90 * quarters, "f1": f1(truth), "f1_against_upright": f1(same), "turn_right": right,
                     "photos": len(samples)})  # fmt: skip
        click.echo(json.dumps(rows[-1]))
    return rows


def close(parser: FaceParser, samples: list[Any]) -> dict[str, Any]:
    """Faces that fill their photo, large and small; and the large one alone, in a square that is hardly larger."""
    truth, same, larger, several = *(Histogram(len(ORDER)) for _ in range(3)), 0
    for sample in samples:
        photo, labels = reading.load(sample.image), sample.read_labels(ORDER)
        edge = round(CLOSE * photo.shape[0])
        photo, labels = (picture[edge:-edge, edge:-edge] for picture in (photo, labels))
        large = cv2.resize(photo, (1280, 1280), interpolation=cv2.INTER_CUBIC)
        found = parser(large)
        copy = parser(cv2.resize(photo, (320, 320), interpolation=cv2.INTER_AREA)).remap(ORDER).labels
        several += len(found.faces) != 1
        size = (1280, 1280)
        truth.add(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST), found.remap(ORDER).labels)
        same.add(cv2.resize(copy, size, interpolation=cv2.INTER_NEAREST), found.remap(ORDER).labels)
        if found.faces:
            square = square_of(found.faces[0])
            larger.add(
                *(shown(parser, large, replace(square, side=side)) for side in (square.side, LARGER * square.side))
            )
    row = {
        "f1": f1(truth),
        "f1_against_copy": f1(same),
        "f1_against_larger_square": f1(larger),
        "not_one_face": several,
        "photos": len(samples),
    }
    click.echo(json.dumps(row))
    return row


def shown(parser: FaceParser, photo: np.ndarray, square: Square) -> np.ndarray:
    """Labels of a square, in the photo."""
    fitted = fit_square(photo, parser.spec.size, square)
    labels = parser.engine.infer(fitted.pixels[None]).labels[0]
    return restore(labels, fitted.geometry, *photo.shape[:2])


def small(portraits: list[np.ndarray], background: np.ndarray) -> list[Any]:
    """How many small faces a larger look finds."""
    rows = []
    for look in LOOKS:
        with FaceParser(locate="yunet", look=look, threads=2) as parser:
            finder = parser._stages.yunet
            assert finder
            for height in HEIGHTS:
                found, times = 0, []
                for portrait in portraits:
                    photo = group([portrait], background, round(height / FACE), ())
                    start = perf_counter()
                    found += bool(finder(photo))
                    times.append(1000 * (perf_counter() - start))
                rows.append({"look": look, "height": height, "found": found, "of": len(portraits), "ms": min(times)})
                click.echo(json.dumps(rows[-1]))
    return rows


@click.command(help=__doc__)
@click.option("--data", required=True, type=click.Path(path_type=Path, exists=True), help="Labelled portraits.")
@click.option("--backgrounds", required=True, type=click.Path(path_type=Path, exists=True), help="Other photos.")
@click.option("--before", required=True, type=click.Path(path_type=Path, exists=True), help="A checkout.")
@click.option("--detector", type=click.Path(path_type=Path, exists=True), help="YuNet's model; default: the bundled.")
@click.option("--photos", default=40, show_default=True, help="Of the data.")
@click.option("--rounds", default=20, show_default=True, help="Of the cost.")
@click.option("--parts", default="cost,scores,turns,close,small", show_default=True)
def main(
    data: Path, backgrounds: Path, before: Path, detector: Path | None, photos: int, rounds: int, parts: str
) -> None:
    """Measure, write."""
    from tempfile import TemporaryDirectory

    from segface_edge import zoo

    cv2.setNumThreads(2)
    samples = open_dataset(data, order=ORDER, default=label_set("segface")).samples[:photos]
    portraits = [reading.load(sample.image) for sample in samples[:20]]
    background = reading.load(next(iter(find(str(backgrounds)))).photo)
    path = RESULTS / "turns.json"
    document = json.loads(path.read_text()) if path.is_file() else {}
    wanted = parts.split(",")
    if "cost" in wanted:
        with TemporaryDirectory() as folder:
            document["cost"] = cost(
                portraits, background, before.resolve(), (detector or zoo.DETECTOR).resolve(), rounds, Path(folder)
            )
    if "scores" in wanted:
        document["scores"] = scores([reading.load(sample.image) for sample in samples], detector or zoo.DETECTOR)
    with FaceParser(threads=2) as parser:
        if "turns" in wanted:
            document["turns"] = turns(parser, samples)
        if "close" in wanted:
            document["close"] = close(parser, samples)
    if "small" in wanted:
        document["small"] = small(portraits, background)
    document["environment"] = environment()
    write_whole(path, (json.dumps(document, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
