"""Fitting: against Pillow's bicubic, and a geometry that is written down here."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from segface_edge import zoo
from segface_edge.errors import ImageError
from segface_edge.pictures import fitting, reading
from segface_edge.pictures.geometry import FaceBox, Geometry

Array = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> Array:
    shape = (height, width, channels) if channels else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def bicubic(image: Array, width: int, height: int, box: tuple[float, float, float, float] | None = None) -> Array:
    left, top, right, bottom = box or (0, 0, image.shape[1], image.shape[0])
    across = Image.fromarray(image).resize((width, len(image)), Image.Resampling.BICUBIC, (left, 0, right, len(image)))
    return np.asarray(across.resize((width, height), Image.Resampling.BICUBIC, (0, top, width, bottom)))


def to_square(geometry: Geometry, x: float, y: float) -> tuple[float, float]:
    return geometry.scale_x * x + geometry.offset_x, geometry.scale_y * y + geometry.offset_y


@pytest.mark.parametrize("size", [64, 256, 544])
def test_a_square_photo_is_pillows_bicubic(size: int) -> None:
    photo = reading.load(zoo.ASTRONAUT)
    fitted = fitting.fit(photo, size)
    assert np.array_equal(fitted.pixels, bicubic(photo, size, size))
    assert to_square(fitted.geometry, 0, 0) == (0, 0)
    assert to_square(fitted.geometry, 512, 512) == (size, size)


def test_a_photo_of_the_frames_size_is_unchanged() -> None:
    photo = noise(64, 64)
    assert np.array_equal(fitting.fit(photo, 64).pixels, photo)


@pytest.mark.parametrize(
    ("height", "width", "inside"),
    [
        (60, 100, np.s_[20:80, :]),
        (100, 60, np.s_[:, 20:80]),
        (30, 50, np.s_[20:80, :]),
        (400, 100, np.s_[:, 38:62]),
    ],
    ids=["wide", "tall", "small", "rounded"],
)
def test_other_photos_are_centred_on_padding(height: int, width: int, inside: tuple[slice, slice]) -> None:
    photo = noise(height, width)
    fitted = fitting.fit(photo, 100)
    drawn = fitted.pixels[inside]
    assert np.array_equal(drawn, bicubic(photo, drawn.shape[1], drawn.shape[0]))
    outside = np.ones((100, 100), bool)
    outside[inside] = False
    assert (fitted.pixels[outside] == (124, 116, 104)).all()
    top_left = to_square(fitted.geometry, 0, 0)
    bottom_right = to_square(fitted.geometry, width, height)
    assert top_left == pytest.approx((inside[1].start or 0, inside[0].start or 0))
    assert bottom_right == pytest.approx((inside[1].stop or 100, inside[0].stop or 100))
    geometry = fitted.geometry
    assert (geometry.left, geometry.top) == pytest.approx(top_left)
    assert (geometry.right, geometry.bottom) == pytest.approx(bottom_right)


def test_padding_is_the_mean_colour_that_normalisation_turns_to_0() -> None:
    mean = np.array([0.485, 0.456, 0.406])
    assert np.abs(np.array(fitting.PADDING) - 255 * mean).max() <= 0.5


def test_squash_stretches_to_the_square() -> None:
    photo = noise(60, 100)
    fitted = fitting.fit(photo, 64, squash=True)
    assert np.array_equal(fitted.pixels, bicubic(photo, 64, 64))
    assert to_square(fitted.geometry, 100, 60) == pytest.approx((64, 64))


def test_a_box_is_what_the_frame_shows() -> None:
    photo = noise(90, 120)
    box = FaceBox(left=10, top=20, right=70, bottom=80)
    fitted = fitting.fit(photo, 64, box=box)
    assert np.array_equal(fitted.pixels, bicubic(photo, 64, 64, (10, 20, 70, 80)))
    assert to_square(fitted.geometry, 10, 20) == pytest.approx((0, 0))
    assert to_square(fitted.geometry, 70, 80) == pytest.approx((64, 64))


def test_a_box_that_reaches_beyond_the_photo_shows_padding_there() -> None:
    photo = noise(80, 80)
    box = FaceBox(left=-40, top=20, right=40, bottom=100)
    fitted = fitting.fit(photo, 64, box=box)
    assert np.array_equal(fitted.pixels[:48, 32:], bicubic(photo, 32, 48, (0, 20, 40, 80)))
    assert (fitted.pixels[:, :32] == fitting.PADDING).all()
    assert (fitted.pixels[48:] == fitting.PADDING).all()
    geometry = fitted.geometry
    assert (geometry.left, geometry.top, geometry.right, geometry.bottom) == (32, 0, 64, 48)
    assert to_square(geometry, -40, 20) == pytest.approx((0, 0))


@pytest.mark.parametrize("height", [26, 28, 29, 40, 400])
@pytest.mark.parametrize("width", [26, 28, 29, 40, 400])
def test_what_lies_around_a_box_changes_nothing_in_it(width: int, height: int) -> None:
    """Rows are resampled before columns, however tall the photo is."""
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)
    part = np.ascontiguousarray(noise[:height, :width])
    found = fitting.fit(part, 28, box=FaceBox(left=4, top=4.5, right=24, bottom=24.5))
    assert np.array_equal(found.pixels, bicubic(noise, 28, 28, (4, 4.5, 24, 24.5)))


@pytest.mark.parametrize("squash", [False, True])
@pytest.mark.parametrize(
    "edges",
    [(80, 0, 120, 40), (-50, -50, 0, 0), (0, 81, 10, 90), (5, 5, 5, 5), (30, 5, 20, 40)],
    ids=["right of it", "above left", "below", "empty", "inside out"],
)
def test_a_box_without_any_of_the_photo_is_refused(edges: tuple[float, ...], squash: bool) -> None:
    box = FaceBox(**dict(zip(("left", "top", "right", "bottom"), edges, strict=True)))
    with pytest.raises(ImageError, match="outside the picture of 80 x 80"):
        fitting.fit(noise(80, 80), 64, box=box, squash=squash)


@given(
    height=st.integers(16, 90),
    width=st.integers(16, 90),
    size=st.integers(8, 48),
    squash=st.booleans(),
    shift=st.tuples(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5)),
    zoom=st.tuples(st.floats(0.2, 1.5), st.floats(0.2, 1.5)),
)
@settings(max_examples=100, deadline=None)
def test_geometry_maps_the_shown_part_of_any_box_to_whole_frame_pixels(
    height: int, width: int, size: int, squash: bool, shift: tuple[float, float], zoom: tuple[float, float]
) -> None:
    left, top = shift[0] * width, shift[1] * height
    box = FaceBox(left=left, top=top, right=left + zoom[0] * width, bottom=top + zoom[1] * height)
    seen = max(left, 0), max(top, 0), min(box.right, width), min(box.bottom, height)
    assume(seen[2] - seen[0] > 1)
    assume(seen[3] - seen[1] > 1)
    fitted = fitting.fit(np.zeros((height, width, 3), np.uint8), size, box=box, squash=squash)
    geometry = fitted.geometry
    assert fitted.pixels.shape == (size, size, 3)
    assert 0 <= geometry.left < geometry.right <= size
    assert 0 <= geometry.top < geometry.bottom <= size
    assert to_square(geometry, seen[0], seen[1]) == pytest.approx((geometry.left, geometry.top), abs=1e-6)
    assert to_square(geometry, seen[2], seen[3]) == pytest.approx((geometry.right, geometry.bottom), abs=1e-6)
    black = np.zeros((size, size), bool)
    black[geometry.top : geometry.bottom, geometry.left : geometry.right] = True
    assert np.array_equal((fitted.pixels == 0).all(axis=-1), black)
