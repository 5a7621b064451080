"""Restoring: against formulas that are written down here, apart from the package."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from segface_edge.pictures import fitting, restoring
from segface_edge.pictures.geometry import FaceBox, Fitted, Geometry

Array = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> Array:
    shape = (height, width, channels) if channels else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def smoothed(mask: Floats) -> Floats:
    """3 x 3 Gaussian of standard deviation 0.6, edges repeated."""
    side = np.exp(-1 / (2 * 0.6**2))
    kernel = np.array([side, 1, side]) / (1 + 2 * side)
    height, width = mask.shape
    padded = np.pad(mask, 1, mode="edge")
    return sum(kernel[i] * kernel[j] * padded[i : i + height, j : j + width] for i in range(3) for j in range(3))  # type: ignore[return-value]


def bilinear(values: Floats, rows: Floats, columns: Floats) -> Floats:
    """`values` at the crossings of `rows` and `columns`, in pixel indices; beyond the edge the edge's value."""

    def weights(at: Floats, count: int) -> Floats:
        at = np.clip(at, 0, count - 1)
        return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(count)))

    return weights(rows, values.shape[0]) @ values @ weights(columns, values.shape[1]).T


def rounded(at: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Places to 1/32 of a pixel, and where it is sure which."""
    steps = at * 32 + 0.5
    return np.floor(steps) / 32, np.abs(steps - np.rint(steps)) > 2e-3


# Of the photo's pixels: one whose centre lies on the edge, but for rounding, is shown.
EDGE = 1e-6


def formula(labels: Array, geometry: Geometry, height: int, width: int) -> tuple[Array, Floats, npt.NDArray[np.bool_]]:
    """(label map, margin between the two largest weights, what the frame shows), all (height, width), in float64."""
    shown = labels[geometry.top : geometry.bottom, geometry.left : geometry.right]
    masks = [(shown == label).astype(np.float64) for label in range(int(labels.max()) + 2)]
    if geometry.scale_x < 1 or geometry.scale_y < 1:
        masks = [smoothed(mask) for mask in masks]
    x = (np.arange(width) + 0.5) * geometry.scale_x + geometry.offset_x
    y = (np.arange(height) + 0.5) * geometry.scale_y + geometry.offset_y
    (at_y, sure_y), (at_x, sure_x) = rounded(y - geometry.top - 0.5), rounded(x - geometry.left - 0.5)
    weights = np.stack([bilinear(mask, at_y, at_x) for mask in masks])
    ordered = np.sort(weights, axis=0)
    ordered[-1][~(sure_y[:, None] & sure_x)] = ordered[-2][~(sure_y[:, None] & sure_x)]
    edge_x, edge_y = EDGE * geometry.scale_x, EDGE * geometry.scale_y
    in_x = (x > geometry.left - edge_x) & (x < geometry.right + edge_x)
    in_y = (y > geometry.top - edge_y) & (y < geometry.bottom + edge_y)
    inside = in_y[:, None] & in_x
    return np.where(inside, weights.argmax(axis=0), 0).astype(np.uint8), ordered[-1] - ordered[-2], inside


# Masks are warped in 8 bits.
CLEAR = 4 / 255


@st.composite
def scenes(draw: st.DrawFn) -> tuple[Array, Fitted, int, int]:
    """A label map of a frame, the fit of a photo (whole, or a box of it), and the photo's height and width."""
    size = draw(st.integers(8, 40))
    height, width = draw(st.integers(16, 120)), draw(st.integers(16, 120))
    box = None
    if draw(st.booleans()):
        left, top = draw(st.floats(-0.3, 0.5)) * width, draw(st.floats(-0.3, 0.5)) * height
        right, bottom = left + draw(st.floats(0.4, 1.2)) * width, top + draw(st.floats(0.4, 1.2)) * height
        box = FaceBox(left=left, top=top, right=right, bottom=bottom)
    photo = np.zeros((height, width, 3), np.uint8)
    fitted = fitting.fit(photo, size, box=box, squash=draw(st.booleans()))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    coarse = draw(st.integers(1, 6))
    blocks = random.integers(0, 6, (size // coarse + 1, size // coarse + 1), np.uint8)
    labels = np.repeat(np.repeat(blocks, coarse, axis=0), coarse, axis=1)[:size, :size] * 3
    return np.ascontiguousarray(labels), fitted, height, width


@given(scenes())
@settings(max_examples=150, deadline=None)
def test_restored_labels_are_the_formulas_wherever_it_is_clear(scene: tuple[Array, Fitted, int, int]) -> None:
    labels, fitted, height, width = scene
    wanted, margin, inside = formula(labels, fitted.geometry, height, width)
    restored = restoring.restore(labels, fitted.geometry, height, width)
    assert restored.dtype == np.uint8
    assert restored.shape == (height, width)
    clear = (margin > CLEAR) | ~inside
    assert np.array_equal(restored[clear], wanted[clear])


@given(st.floats(1.0, 1.6), st.floats(0.0, 0.99), st.floats(0.0, 0.99), st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_a_class_may_win_half_a_pixel_beyond_its_own_pixels_where_its_neighbours_differ(
    scale: float, x: float, y: float, seed: int
) -> None:
    size = 24
    geometry = Geometry(
        scale_x=scale, scale_y=scale, offset_x=x, offset_y=y, left=0, top=0, right=size, bottom=size
    )  # fmt: skip
    side = int((size - 1) / scale)
    labels = np.random.default_rng(seed).integers(0, 60, (size, size), np.uint8)
    labels[8:16, 8:16] = 70
    wanted, margin, _ = formula(labels, geometry, side, side)
    clear = margin > CLEAR
    assert np.array_equal(restoring.restore(labels, geometry, side, side)[clear], wanted[clear])


@given(scenes())
@settings(max_examples=60, deadline=None)
def test_only_labels_of_the_shown_part_appear_and_nothing_outside_it(scene: tuple[Array, Fitted, int, int]) -> None:
    labels, fitted, height, width = scene
    labels = labels + np.uint8(1)  # no background in the frame
    geometry = fitted.geometry
    restored = restoring.restore(labels, geometry, height, width)
    _, _, inside = formula(labels, geometry, height, width)
    shown = labels[geometry.top : geometry.bottom, geometry.left : geometry.right]
    assert set(np.unique(restored[inside])) <= set(np.unique(shown))
    assert not restored[~inside].any()


def test_a_pixel_whose_centre_lies_on_the_edge_but_for_rounding_is_shown() -> None:
    scale = 18 / 8.5 + 1e-10
    geometry = Geometry(scale_x=scale, scale_y=2.0, offset_x=0.0, offset_y=1.0, left=0, top=1, right=18, bottom=17)
    assert 18 < 8.5 * scale < 18 + 1e-8
    restored = restoring.restore(np.full((18, 18), 7, np.uint8), geometry, 16, 17)
    assert (restored[:8, :9] == 7).all()
    assert not restored[:, 9:].any()


@given(st.integers(16, 64), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_a_photo_of_the_frames_size_has_the_frames_labels(size: int, seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 256, (size, size), np.uint8)
    geometry = fitting.fit(np.zeros((size, size, 3), np.uint8), size).geometry
    assert np.array_equal(restoring.restore(labels, geometry, size, size), labels)


@given(scenes())
@settings(max_examples=60, deadline=None)
def test_mirroring_the_label_map_mirrors_the_result(scene: tuple[Array, Fitted, int, int]) -> None:
    labels, _, height, width = scene
    geometry = fitting.fit(np.zeros((height, width, 3), np.uint8), len(labels), squash=True).geometry
    mirrored = restoring.restore(np.ascontiguousarray(labels[:, ::-1]), geometry, height, width)[:, ::-1]
    _, margin, _ = formula(labels, geometry, height, width)
    # Of two places that lie the same way between two 32nds, one is rounded up.
    clear = (margin > CLEAR) & (margin[:, ::-1] > CLEAR)
    assume(clear.any())
    assert np.array_equal(mirrored[clear], restoring.restore(labels, geometry, height, width)[clear])


@pytest.mark.parametrize("times", [2, 4, 8])
@pytest.mark.parametrize("slope", [0.3, 0.7, 1.3])
def test_an_enlarged_diagonal_edge_is_closer_to_the_line_than_blocks(slope: float, times: int) -> None:
    size = 48

    def below_line(side: int) -> Array:
        at = (np.arange(side) + 0.5) / side
        return np.where(at[:, None] > 0.1 + slope * (at - 0.1), 5, 9).astype(np.uint8)

    labels, ideal = below_line(size), below_line(size * times)
    geometry = fitting.fit(np.zeros((size * times, size * times, 3), np.uint8), size).geometry
    restored = restoring.restore(labels, geometry, size * times, size * times)
    blocks = np.repeat(np.repeat(labels, times, axis=0), times, axis=1)
    assert not np.array_equal(restored, blocks)
    assert (restored != ideal).sum() < 0.8 * (blocks != ideal).sum()


def test_a_thin_class_survives_enlarging() -> None:
    labels = np.zeros((32, 32), np.uint8)
    labels[16, 4:28] = 6
    geometry = fitting.fit(np.zeros((128, 128, 3), np.uint8), 32).geometry
    restored = restoring.restore(labels, geometry, 128, 128)
    share = (restored == 6).sum() / ((labels == 6).sum() * 16)
    assert 0.4 < share < 1.5


def test_a_photo_smaller_than_the_frame_keeps_its_regions() -> None:
    labels = np.zeros((64, 64), np.uint8)
    labels[16:48, 16:48] = 7
    geometry = fitting.fit(np.zeros((16, 16, 3), np.uint8), 64).geometry
    wanted = np.zeros((16, 16), np.uint8)
    wanted[4:12, 4:12] = 7
    assert np.array_equal(restoring.restore(labels, geometry, 16, 16), wanted)


@pytest.mark.parametrize(("height", "width"), [(64, 40_000), (40_000, 64)])
def test_a_very_long_photo_is_restored(height: int, width: int) -> None:
    fitted = fitting.fit(np.zeros((height, width, 3), np.uint8), 64)
    at = np.arange(64, dtype=np.uint8) // 16 + 1
    labels = np.broadcast_to(at if width > height else at[:, None], (64, 64)).copy()
    restored = restoring.restore(labels, fitted.geometry, height, width)
    line = restored[32] if width > height else restored[:, 32]
    assert restored.shape == (height, width)
    assert (restored == (line if width > height else line[:, None])).all()
    assert np.bincount(line, minlength=5).tolist() == pytest.approx([0, 10_000, 10_000, 10_000, 10_000], abs=10)
    assert (np.diff(line.astype(int)) >= 0).all()


def test_of_equal_weights_the_lowest_label_wins() -> None:
    labels = np.repeat(np.array([[4, 2]], np.uint8), 2, axis=0)
    geometry = Geometry(scale_x=2.0, scale_y=1.0, offset_x=0.0, offset_y=0.0, left=0, top=0, right=2, bottom=2)
    # One photo pixel per row, its centre on the edge between the two labels.
    assert restoring.restore(labels, geometry, 2, 1).tolist() == [[2], [2]]


def test_a_label_map_of_another_scale_uses_the_same_way() -> None:
    labels = noise(32, 32, 0) % 3
    photo = np.zeros((60, 100, 3), np.uint8)
    scaled = fitting.fit(photo, 32).geometry.for_photo_scaled(2, 2)
    direct = fitting.fit(np.zeros((120, 200, 3), np.uint8), 32).geometry
    for name in ("scale_x", "scale_y", "offset_x", "offset_y", "left", "top", "right", "bottom"):
        assert getattr(scaled, name) == pytest.approx(getattr(direct, name))
    assert np.array_equal(restoring.restore(labels, scaled, 120, 200), restoring.restore(labels, direct, 120, 200))


@given(scenes(), st.integers(1, 255))
@settings(max_examples=40, deadline=None)
def test_constant_confidence_stays_constant(scene: tuple[Array, Fitted, int, int], value: int) -> None:
    labels, fitted, height, width = scene
    confidence = np.full_like(labels, value)
    restored = restoring.restore_confidence(confidence, fitted.geometry, height, width)
    _, _, inside = formula(labels, fitted.geometry, height, width)
    assert restored.dtype == np.uint8
    assert np.array_equal(restored, np.where(inside, value, 0))


@given(scenes())
@settings(max_examples=40, deadline=None)
def test_confidence_is_bilinear(scene: tuple[Array, Fitted, int, int]) -> None:
    labels, fitted, height, width = scene
    geometry = fitted.geometry
    confidence = noise(*labels.shape, 0, seed=height * width)
    shown = confidence[geometry.top : geometry.bottom, geometry.left : geometry.right].astype(np.float64)
    y = (np.arange(height) + 0.5) * geometry.scale_y + geometry.offset_y - geometry.top - 0.5
    x = (np.arange(width) + 0.5) * geometry.scale_x + geometry.offset_x - geometry.left - 0.5
    _, _, inside = formula(labels, geometry, height, width)
    restored = restoring.restore_confidence(confidence, geometry, height, width)
    (y, sure_y), (x, sure_x) = rounded(y), rounded(x)
    sure = sure_y[:, None] & sure_x
    # The nearest whole number: not a step more.
    assert np.abs(np.where(inside, bilinear(shown, y, x), 0) - restored)[sure].max(initial=0) <= 0.5
