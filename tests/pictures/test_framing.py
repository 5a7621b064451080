"""Squares of photos: from landmarks and boxes, into the network's frame and back."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segface_edge import zoo
from segface_edge.errors import ImageError
from segface_edge.pictures import fitting
from segface_edge.pictures.fitting import PADDING
from segface_edge.pictures.framing import Square, face_of, fit_square, overlap, square_of
from segface_edge.pictures.geometry import FaceBox
from segface_edge.pictures.restoring import restore, restore_confidence

squares = st.builds(
    Square,
    x=st.floats(20, 180),
    y=st.floats(20, 130),
    side=st.floats(40, 300),
    angle=st.floats(-180, 180).filter(lambda angle: abs(angle - 90 * round(angle / 90)) > 1),
)


def landmarks(square: Square) -> tuple[tuple[float, float], ...]:
    """The five points that a face has which fills a frame as in CelebA-HQ, its eyes a quarter of the side apart."""
    a, unit = math.radians(square.angle), square.side
    across, down = np.array([math.cos(a), math.sin(a)]), np.array([-math.sin(a), math.cos(a)])
    eyes_to_mouth = 0.24
    eyes = np.array([square.x, square.y]) - 0.1 * eyes_to_mouth * unit * down
    points = [eyes - 0.125 * unit * across, eyes + 0.125 * unit * across, eyes + 0.14 * unit * down]
    mouth = eyes + eyes_to_mouth * unit * down
    points += [mouth - 0.09 * unit * across, mouth + 0.09 * unit * across]
    return tuple((float(x), float(y)) for x, y in points)


@given(squares)
def test_a_frame_follows_from_landmarks(square: Square) -> None:
    found = square_of(FaceBox(left=0, top=0, right=1, bottom=1, landmarks=landmarks(square)))
    assert (found.x, found.y, found.side) == pytest.approx((square.x, square.y, square.side), abs=1e-6)
    assert math.cos(math.radians(found.angle - square.angle)) == pytest.approx(1)


@given(squares)
def test_a_box_is_the_way_back_of_its_frame(square: Square) -> None:
    upright = Square(x=square.x, y=square.y, side=square.side)
    found = square_of(face_of(None, upright))
    assert (found.x, found.y, found.side, found.angle) == pytest.approx((square.x, square.y, square.side, 0))
    with_points = face_of(landmarks(square))
    assert with_points.landmarks == landmarks(square)
    assert (with_points.left + with_points.right) / 2 == pytest.approx(square.x)


@settings(max_examples=60, deadline=None)
@given(squares)
def test_labels_come_back_to_where_the_frame_saw_them(square: Square) -> None:
    """Against the formula, pixel by pixel: four quarters of the frame, not at their borders."""
    size, height, width = 32, 150, 200
    fitted = fit_square(np.zeros((height, width, 3), np.uint8), size, square)
    labels = np.zeros((size, size), np.uint8)
    labels[: size // 2, : size // 2], labels[: size // 2, size // 2 :] = 1, 2
    labels[size // 2 :, : size // 2], labels[size // 2 :, size // 2 :] = 3, 4
    found = restore(labels, fitted.geometry, height, width)
    y, x = np.mgrid[:height, :width] + 0.5
    a, scale = math.radians(square.angle), size / square.side
    right = scale * (math.cos(a) * (x - square.x) + math.sin(a) * (y - square.y))
    down = scale * (-math.sin(a) * (x - square.x) + math.cos(a) * (y - square.y))
    wanted = np.where(down < 0, np.where(right < 0, 1, 2), np.where(right < 0, 3, 4))
    inside = (np.abs(right) < size / 2 - 1) & (np.abs(down) < size / 2 - 1)
    clear = inside & (np.abs(right) > 1) & (np.abs(down) > 1)
    assert np.array_equal(found[clear], wanted[clear])
    assert not found[(np.abs(right) > size / 2 + 1) | (np.abs(down) > size / 2 + 1)].any()
    sure = restore_confidence(np.full((size, size), 200, np.uint8), fitted.geometry, height, width)
    assert np.abs(sure[inside].astype(int) - 200).max(initial=0) <= 1


@settings(max_examples=30, deadline=None)
@given(squares)
def test_the_way_to_the_photo_is_the_way_back(square: Square) -> None:
    geometry = fit_square(np.zeros((150, 200, 3), np.uint8), 32, square).geometry
    for x, y in ((0, 0), (199.5, 3), (70, 149)):
        square_x = geometry.scale_x * x + geometry.turn_x * y + geometry.offset_x
        square_y = geometry.turn_y * x + geometry.scale_y * y + geometry.offset_y
        assert geometry.to_photo(square_x, square_y) == pytest.approx((x, y), abs=1e-6)
    corners = [geometry.to_photo(*corner) for corner in ((0, 0), (32, 0), (32, 32), (0, 32))]
    assert np.allclose(corners, square.corners(), atol=1e-6)


@pytest.mark.parametrize("angle", [-170.0, -90.0, -25.0, 8.0, 25.0, 90.0])
@pytest.mark.parametrize("shrink", [1.0, 3.0])
def test_a_turned_portrait_is_shown_upright(angle: float, shrink: float) -> None:
    """A portrait turned by Pillow is turned back: nearly the picture that the frame of the portrait itself shows."""
    from PIL import Image

    portrait = Image.open(zoo.PORTRAIT).convert("RGB").resize((240, 240), Image.Resampling.LANCZOS)
    turned = np.asarray(portrait.rotate(-angle, Image.Resampling.BICUBIC, fillcolor=PADDING))
    size = round(120 / shrink)
    # The middle half: no corner was lost in turning.
    upright = fit_square(np.asarray(portrait), size, Square(x=120, y=120, side=120)).pixels.astype(float)
    found = fit_square(turned, size, Square(x=120, y=120, side=120, angle=angle)).pixels.astype(float)
    assert np.abs(upright - found).mean() < 5
    assert np.abs(upright - np.rot90(found)).mean() > 20


def test_what_lies_outside_of_the_photo_is_padding() -> None:
    image = np.full((60, 60, 3), 255, np.uint8)
    fitted = fit_square(image, 64, Square(x=0, y=0, side=60, angle=30))
    assert (fitted.pixels[0, 0] == PADDING).all()
    # The lower right of the frame is the upper left of the photo.
    assert (fitted.pixels[50, 50] == 255).all()
    with pytest.raises(ImageError, match="lies outside the picture of 60 x 60"):
        fit_square(image, 64, Square(x=400, y=0, side=60, angle=30))


def test_a_square_that_is_hardly_turned_is_not_turned() -> None:
    image = np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8)
    straight = fitting.fit(image, 32, box=FaceBox(left=10, top=10, right=70, bottom=70))
    found = fit_square(image, 32, Square(x=40, y=40, side=60, angle=0.5))
    assert np.array_equal(found.pixels, straight.pixels)
    assert found.geometry.quarters == 0


@settings(max_examples=40, deadline=None)
@given(
    x=st.floats(20, 70),
    y=st.floats(20, 40),
    share=st.floats(0.3, 1.0),
    quarters=st.integers(0, 3),
    size=st.integers(8, 40),
)
def test_a_square_that_lies_on_its_side_is_the_upright_one(
    x: float, y: float, share: float, quarters: int, size: int
) -> None:
    """To a grey level, there and back."""
    height, width = 60, 90
    side = 2 * share * min(x, y, width - x, height - y)
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    labels = np.random.default_rng(1).integers(0, 4, (size, size), np.uint8)
    upright = fit_square(image, size, Square(x=x, y=y, side=side))
    wanted = restore(labels, upright.geometry, height, width)
    photo = np.ascontiguousarray(np.rot90(image, -quarters))
    moved = FaceBox(left=x, top=y, right=x, bottom=y).turned(quarters, height, width)
    angle = (0.0, 90.0, 180.0, -90.0)[quarters]
    found = fit_square(photo, size, Square(x=moved.left, y=moved.top, side=side, angle=angle))
    assert np.abs(found.pixels.astype(int) - upright.pixels).max() <= 1
    assert found.geometry.quarters == quarters
    back = restore(labels, found.geometry, *photo.shape[:2])
    # A pixel at the edge of the square, or between two labels of the same weight, may be either's.
    assert (np.rot90(back, quarters) != wanted).mean() < 0.02


def test_a_face_knows_its_turn() -> None:
    upright = FaceBox(left=1, top=2, right=5, bottom=9, landmarks=((2, 3), (4, 3), (3, 5), (2, 7), (4, 7)))
    assert (upright.angle, upright.turn, FaceBox(left=0, top=0, right=1, bottom=1).turn) == (0, 0, 0)
    for quarters in range(-3, 5):
        turned = upright.turned(quarters, 60, 90)
        assert turned.turn == 90 * (quarters % 4)
        height, width = (90, 60) if quarters % 2 else (60, 90)
        assert turned.turned(-quarters, height, width) == upright
        assert 0 <= turned.left < turned.right <= width


def test_overlap_is_that_of_the_squares_around() -> None:
    assert overlap(Square(x=50, y=50, side=100), 100, 100) == 1
    assert overlap(Square(x=50, y=50, side=100, angle=40), 100, 60) == pytest.approx(10000 * 0.8 / 12000)
    assert overlap(Square(x=50, y=50, side=50), 100, 100) == 0.25
    assert overlap(Square(x=500, y=50, side=50), 100, 100) == 0
