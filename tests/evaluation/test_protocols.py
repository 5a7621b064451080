"""What the protocols of LaPa and Helen show: faces warped by the data set's landmarks, and a box of the photo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from segface_edge.datasets.opening import open_dataset
from segface_edge.engines import Output
from segface_edge.errors import DataError
from segface_edge.evaluation.evaluate import compared, evaluate
from segface_edge.labels import label_set
from segface_edge.pictures.warping import warp_square

MakeEngine = Callable[..., Any]
LAPA = label_set("lapa")
SIZE, WIDTH, HEIGHT = 64, 320, 240
FIVE = [(120.0, 90.0), (190.0, 95.0), (150.0, 120.0), (125.0, 155.0), (180.0, 160.0)]


def photo() -> npt.NDArray[np.uint8]:
    """Red in stripes of 32 pixels, which are the labels too."""
    stripes = np.tile(np.arange(WIDTH) // 32 % 11, (HEIGHT, 1)).astype(np.uint8)
    return np.stack([stripes * 16 + 8, stripes, stripes], -1)


def write_lapa(root: Path, five: list[tuple[float, float]]) -> None:
    for part in ("images", "labels", "landmarks"):
        (root / "test" / part).mkdir(parents=True)
    # As PNG: the bytes are to be known.
    Image.fromarray(photo()).save(root / "test" / "images" / "1.png")
    Image.fromarray(photo()[..., 1]).save(root / "test" / "labels" / "1.png")
    points = [(0.0, 0.0)] * 106
    for members, point in zip(((74, 104), (83, 105), (54,), (84,), (90,)), five, strict=True):
        for member in members:
            points[member] = point
    lines = ["106", *(f"{x} {y}" for x, y in points)]
    (root / "test" / "landmarks" / "1.txt").write_text("\n".join(lines))


@pytest.fixture
def engine(echo_engine: MakeEngine) -> Any:
    """The label is red / 16; what the engine is shown is kept."""
    made = echo_engine(SIZE)
    made.spec = replace(made.spec, label_order="lapa", classes=LAPA.classes)
    made.seen = []
    run = made.run

    def kept(frames: npt.NDArray[np.uint8]) -> Output:
        made.seen += list(frames.copy())
        output: Output = run(frames)
        return output

    made.run = kept
    return made


def warping(engine: Any) -> Any:
    engine.spec = replace(engine.spec, warp="outside")
    return engine


def test_lapa_is_warped_by_its_own_landmarks(tmp_path: Path, engine: Any) -> None:
    write_lapa(tmp_path, FIVE)
    samples = open_dataset(tmp_path, split="test").samples
    (pair,) = compared(warping(engine), samples, LAPA, "paper")
    square = np.asarray(Image.fromarray(photo()).resize((SIZE, SIZE), Image.Resampling.BICUBIC))
    points = np.array(FIVE) * (SIZE / WIDTH, SIZE / HEIGHT)
    assert np.array_equal(engine.seen[0], warp_square(square, points))
    # The prediction lies where the truth does, but for the pixel to the right that the authors' warp moves things by.
    moved = np.roll(pair.truth, 1, 1)
    face = np.s_[20:44, 20:40]
    assert (pair.predicted == moved)[face].mean() > 0.9
    assert np.array_equal(pair.image, square)


def test_lapa_in_its_own_pixels_is_warped_too(tmp_path: Path, engine: Any) -> None:
    write_lapa(tmp_path, FIVE)
    samples = open_dataset(tmp_path, split="test").samples
    (pair,) = compared(warping(engine), samples, LAPA, "native")
    assert pair.predicted.shape == (HEIGHT, WIDTH)
    # A pixel of the square is five of the photo's.
    assert (pair.predicted == np.roll(pair.truth, 5, 1))[80:170, 110:200].mean() > 0.9


def test_a_photo_without_landmarks_is_told_of(tmp_path: Path, engine: Any) -> None:
    write_lapa(tmp_path, FIVE)
    (sample,) = open_dataset(tmp_path, split="test").samples
    with pytest.raises(DataError, match=r"1\.png: has no landmarks, which fake warps faces by"):
        evaluate(warping(engine), [replace(sample, landmarks=None)], LAPA, "paper")
    with pytest.raises(DataError, match=r"1\.png: its landmarks are not finite, or all in one place"):
        evaluate(engine, [replace(sample, landmarks=((1.0, 1.0),) * 5)], LAPA, "paper")


def write_helen(root: Path, left: float, top: float, right: float, bottom: float) -> None:
    (root / "test").mkdir(parents=True)
    Image.fromarray(photo()).save(root / "test" / "1_image.jpg", quality=100, subsampling=0)
    Image.fromarray(photo()[..., 1]).save(root / "test" / "1_label.png")
    points = [(left, top), (right, bottom), *[((left + right) / 2, top)] * 66]
    numbers = " ".join(f"{2 * value}" for point in points for value in point)
    (root / "landmarks.txt").write_text(f"{numbers} 1\n")


@pytest.mark.parametrize(
    ("face", "box"),
    [
        # 1.2 times the longer side, 100, about the middle (150, 120).
        ((100, 80, 200, 160), (90, 60, 210, 180)),
        # About (280, 130): cut off at the photo's right and lower edge, and stretched.
        ((180, 90, 380, 170), (160, 10, 320, 240)),
    ],
)
def test_helen_shows_a_square_about_the_face(
    tmp_path: Path, engine: Any, face: tuple[int, ...], box: tuple[int, ...]
) -> None:
    write_helen(tmp_path, *face)
    samples = open_dataset(tmp_path, split="test").samples
    (pair,) = compared(engine, samples, label_set("helen"), "paper")
    image = Image.open(tmp_path / "test" / "1_image.jpg").crop(box)
    wanted = np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BICUBIC))
    assert np.array_equal(engine.seen[0], wanted)
    truth = Image.fromarray(photo()[..., 1]).crop(box).resize((SIZE, SIZE), Image.Resampling.NEAREST)
    assert np.array_equal(pair.truth, np.asarray(truth))
    assert (pair.predicted == pair.truth).mean() > 0.9


def test_helen_in_its_own_pixels_is_the_whole_photo(tmp_path: Path, engine: Any) -> None:
    write_helen(tmp_path, 100, 80, 200, 160)
    samples = open_dataset(tmp_path, split="test").samples
    (pair,) = compared(engine, samples, label_set("helen"), "native")
    assert pair.truth.shape == (HEIGHT, WIDTH)


def test_a_face_beside_its_photo_is_told_of(tmp_path: Path, engine: Any) -> None:
    write_helen(tmp_path, 900, 80, 1000, 160)
    samples = open_dataset(tmp_path, split="test").samples
    with pytest.raises(DataError, match=r"1_image\.jpg: its face lies outside the picture of 320 x 240"):
        evaluate(engine, samples, label_set("helen"), "paper")
