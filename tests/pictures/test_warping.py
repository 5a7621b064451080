"""The RoI tanh warp: its formula, its way back, and what a label map keeps of both."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from segface_edge.pictures import fitting, reading
from segface_edge.pictures.warping import (
    Warp,
    unwarp_confidence,
    unwarp_labels,
    unwarp_logits,
    warp_square,
)
from segface_edge.zoo import ASTRONAUT

SIZE = 64
TEMPLATE = np.array([(196, 226), (316, 226), (256, 286), (220, 360.4), (292, 360.4)])
# Of the astronaut, 512 x 512, by eye.
ASTRONAUTS = np.array([(202, 113), (246, 108), (229, 138), (207, 157), (248, 153)], float)


def turned(angle: float, scale: float, x: float, y: float, size: int = SIZE) -> npt.NDArray[np.float64]:
    """The template's points, turned, scaled and moved."""
    points = TEMPLATE / 512 * (size - 1)
    a = math.radians(angle)
    turn = np.array([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]])
    middle = points.mean(0)
    return np.asarray((points - middle) @ turn.T * scale + middle + (x, y))


def warp(points: npt.NDArray[np.float64], size: int = SIZE) -> Warp:
    return Warp(points[None], np.arange(size, dtype=float), np)


def similarity(points: npt.NDArray[np.float64], size: int) -> npt.NDArray[np.float64]:
    """(3, 3) of the least squares, by the normal equations of its four unknowns."""
    rows, wanted = [], []
    for (x, y), (u, v) in zip(points, TEMPLATE / 512 * (size - 1), strict=True):
        rows += [(x, -y, 1, 0), (y, x, 0, 1)]
        wanted += [u, v]
    a, b, u, v = np.linalg.lstsq(np.array(rows), np.array(wanted), rcond=None)[0]
    return np.array([[a, -b, u], [b, a, v], [0, 0, 1]])


def far(pressed: float) -> float:
    """Where a place between -1 and 1 of the warped square lies in the aligned frame."""
    if abs(pressed) <= 0.2:
        return pressed
    inner = min((abs(pressed) - 0.2) / 0.8, 1 - 1e-3)
    return math.copysign(0.8 * math.atanh(inner) + 0.2, pressed)


CROOKED = np.array([(20.0, 22.0), (44.0, 30.0), (30.0, 36.0), (18.0, 44.0), (33.0, 51.0)])


@pytest.mark.parametrize("points", [turned(0, 1, 0, 0), turned(30, 0.6, 5, -8), turned(-160, 2, 0, 3), CROOKED])
def test_every_pixel_looks_where_the_formula_says(points: npt.NDArray[np.float64]) -> None:
    grid = warp(points).grid()[0]
    back = np.linalg.inv(similarity(points, SIZE))
    for row, column in ((0, 0), (0, 63), (20, 32), (32, 32), (40, 11), (63, 5)):
        aligned = [(far(at / SIZE * 2 - 1) + 1) / 2 * SIZE for at in (column, row)]
        x, y, _ = back @ (*aligned, 1)
        assert grid[row, column] == pytest.approx((x / SIZE * 2 - 1, y / SIZE * 2 - 1), abs=1e-9)


@pytest.mark.parametrize("points", [turned(0, 1, 0, 0), turned(30, 0.6, 5, -8), CROOKED])
def test_every_pixel_lies_in_the_warped_square_where_the_formula_says(points: npt.NDArray[np.float64]) -> None:
    grid = warp(points).inverse()[0]
    there = similarity(points, SIZE)
    for row, column in ((0, 0), (0, 63), (20, 32), (32, 32), (40, 11), (63, 5)):
        u, v, _ = there @ (column, row, 1)
        wanted = []
        for value in (u, v):
            normal = value / SIZE * 2 - 1
            beyond = max(abs(normal) - 0.2, 0.0)
            wanted.append(math.copysign(min(abs(normal), 0.2) + 0.8 * math.tanh(beyond / 0.8), normal))
        assert grid[row, column] == pytest.approx(wanted, abs=1e-9)


def test_what_goes_there_and_back_is_where_it_was() -> None:
    points = turned(20, 0.7, 4, 2)
    there = warp(points).inverse()[0]
    # The inverse at a place of the square, seen through the warp at that place of the warped square.
    back = np.linalg.inv(similarity(points, SIZE))
    for row, column in ((10, 12), (32, 30), (50, 47)):
        aligned = [(far(at) + 1) / 2 * SIZE for at in there[row, column]]
        assert (back @ (*aligned, 1))[:2] == pytest.approx((column, row), abs=1e-6)


def test_numpy_and_torch_have_the_same_places() -> None:
    torch = pytest.importorskip("torch", reason="compares with torch")
    points = np.stack([turned(12, 0.8, 3, 1), CROOKED])
    ours = Warp(points, np.arange(SIZE, dtype=float), np)
    theirs = Warp(torch.tensor(points), torch.arange(SIZE, dtype=torch.float64), torch)
    assert np.abs(ours.grid() - theirs.grid().numpy()).max() < 1e-12
    assert np.abs(ours.inverse() - theirs.inverse().numpy()).max() < 1e-12


def test_a_square_and_logits_are_sampled_as_by_grid_sample() -> None:
    torch = pytest.importorskip("torch", reason="compares with torch")
    grid_sample = torch.nn.functional.grid_sample
    square = fitting.fit(reading.load(ASTRONAUT), 128).pixels
    points = ASTRONAUTS / 4
    grids = warp(points, 128)
    middle = np.array(fitting.PADDING, float)
    source = torch.tensor(square - middle).permute(2, 0, 1)[None]
    wanted = grid_sample(source, torch.tensor(grids.grid()), align_corners=False)[0].permute(1, 2, 0).numpy() + middle
    # 1/32 of a pixel of what changes by up to 255 a pixel, and bytes are rounded.
    difference = np.abs(warp_square(square, points) - wanted)
    assert difference.max() <= 255 / 32 + 1
    assert difference.mean() < 0.5

    logits = np.random.default_rng(0).normal(size=(3, 16, 16)).astype(np.float32).repeat(8, 1).repeat(8, 2)
    inverse = torch.tensor(grids.inverse(), dtype=torch.float32)
    wanted = grid_sample(torch.tensor(logits)[None], inverse, align_corners=False)[0].numpy()
    assert np.abs(unwarp_logits(logits, points) - wanted).mean() < 0.01
    assert (unwarp_logits(logits, points).argmax(0) == wanted.argmax(0)).mean() > 0.995


def test_a_label_map_comes_back() -> None:
    """Rings around the face: through the warp by nearest neighbours, and back."""
    size = 256
    points = turned(15, 0.8, 10, -5, size)
    y, x = np.indices((size, size), float)
    middle = points.mean(0)
    rings = np.asarray(np.hypot(x - middle[0], y - middle[1]) // 24 % 11, np.uint8)
    at = np.clip(np.round(((warp(points, size).grid()[0] + 1) * size - 1) / 2), 0, size - 1).astype(int)
    warped = rings[at[..., 1], at[..., 0]]
    back = unwarp_labels(warped, points)
    # Half a pixel there and half a pixel back, as the authors have it: they add up to one pixel right and down.
    moved = np.roll(rings, (1, 1), (0, 1))
    near = np.hypot(x - middle[0], y - middle[1]) < 100
    assert (back == moved)[near].mean() > 0.97
    assert (back == rings)[near].mean() < (back == moved)[near].mean()


def test_one_label_stays_one_label_and_confidence_is_smooth() -> None:
    points = turned(0, 0.9, 0, 0)
    assert (unwarp_labels(np.full((SIZE, SIZE), 7, np.uint8), points) == 7).all()
    assert (unwarp_confidence(np.full((SIZE, SIZE), 200, np.uint8), points) == 200).all()


def test_beyond_the_photo_is_padding() -> None:
    square = np.full((SIZE, SIZE, 3), 250, np.uint8)
    # A face in the corner: much of the warped square lies outside.
    shown = warp_square(square, turned(0, 0.5, -30, -30))
    assert (shown[1, 1] == fitting.PADDING).all()
    assert (shown[-2, -2] == 250).all()
