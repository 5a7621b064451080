"""Sampling: against integers that are written down here, so equal bytes with every OpenCV."""

from __future__ import annotations

import platform
import zlib

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segface_edge.pictures import fitting, framing, restoring, sampling
from segface_edge.pictures.sampling import Places

Array = npt.NDArray[np.uint8]

X86 = platform.machine() in ("x86_64", "AMD64")


def noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def expected(picture: Array, where: Places, outside: tuple[int, ...] | None) -> npt.NDArray[np.int64]:
    """Bilinear in whole numbers: weights are 1/1024ths, halves are rounded up."""
    picture = picture[..., None] if picture.ndim == 2 else picture
    height, width = picture.shape[:2]
    x, y = where.pixels[..., 0].astype(int), where.pixels[..., 1].astype(int)
    right, down = where.steps.astype(int) & 31, where.steps.astype(int) >> 5
    total = np.zeros((*x.shape, picture.shape[2]), np.int64)
    for i, weight_y in ((0, 32 - down), (1, down)):
        for j, weight_x in ((0, 32 - right), (1, right)):
            row, column = y + i, x + j
            values = picture[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)].astype(np.int64)
            if outside is not None:
                beyond = (row < 0) | (row >= height) | (column < 0) | (column >= width)
                values[beyond] = outside[: picture.shape[2]]
            total += (weight_y * weight_x)[..., None] * values
    return (total + 512) >> 10


@st.composite
def affine(draw: st.DrawFn) -> npt.NDArray[np.float64]:
    turned = draw(st.booleans())
    scales = [draw(st.floats(-3, 3)) if turned or i in (0, 3) else 0.0 for i in range(4)]
    return np.array([[*scales[:2], draw(st.floats(-40, 40))], [*scales[2:], draw(st.floats(-40, 40))]])


@given(affine(), st.integers(0, 5000), st.integers(0, 5000))
@settings(max_examples=60, deadline=None)
def test_places_are_the_affine_maps_to_a_32nd(matrix: npt.NDArray[np.float64], left: int, top: int) -> None:
    columns, rows = range(left, left + 37), range(top, top + 23)
    found = sampling.places(matrix, columns, rows)
    x, y = np.array(columns), np.array(rows)[:, None]
    for axis, (by_x, by_y, first) in enumerate(matrix):
        steps = (found.steps >> (5 * axis)) & 31
        at = found.pixels[..., axis] + steps / 32
        # The places themselves are in float32.
        most = max(abs(by_x * x).max(), abs(by_y * y + first).max())
        assert np.abs(at - (by_x * x + by_y * y + first)).max() <= 1 / 64 + most * 2**-22
    chosen = np.array([0, 5, 37 * 4 + 36, 37 * 22 + 3])
    some = found.only(chosen)
    assert np.array_equal(some.pixels, found.pixels.reshape(-1, 2)[None, chosen])
    assert np.array_equal(some.steps, found.steps.reshape(-1)[None, chosen])


@given(affine(), st.integers(0, 5000), st.integers(0, 5000))
@settings(max_examples=60, deadline=None)
def test_a_grid_has_the_places_of_a_map_that_is_not_askew(matrix: npt.NDArray[np.float64], left: int, top: int) -> None:
    matrix[[0, 1], [1, 0]] = 0
    columns, rows = range(left, left + 37), range(top, top + 23)
    whole, everything = sampling.places(matrix, columns, rows), np.arange(37 * 23)
    found = sampling.grid(matrix, columns, rows).only(everything)
    in_32nds = [
        [32 * at.pixels[..., axis].astype(int) + ((at.steps >> 5 * axis) & 31) for axis in (0, 1)]
        for at in (found, whole.only(everything))
    ]
    # Both round to float32 first, one a sum, one its parts.
    assert np.abs(np.subtract(*in_32nds)).max() <= 1


@given(affine(), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_the_pixel_to_the_left_and_above(matrix: npt.NDArray[np.float64], seed: int) -> None:
    """With OpenCV of every version."""
    picture = noise(31, 45, seed=seed)
    where = sampling.places(matrix, range(70), range(50))
    x, y = where.pixels[..., 0], where.pixels[..., 1]
    inside = (x >= 0) & (x < 45) & (y >= 0) & (y < 31)
    named = picture[y.clip(0, 30), x.clip(0, 44)]
    assert np.array_equal(sampling.left_above(picture, where, outside=7), np.where(inside, named, 7))
    matrix[[0, 1], [1, 0]] = 0
    grid = sampling.grid(matrix, range(70), range(50))
    assert np.array_equal(sampling.left_above(picture, grid), picture[grid.y.clip(0, 30)][:, grid.x.clip(0, 44)])


@given(affine(), st.sampled_from([None, (0,), (124, 116, 104)]), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_samples_are_whole_number_arithmetic(
    matrix: npt.NDArray[np.float64], outside: tuple[int, ...] | None, seed: int
) -> None:
    picture = noise(31, 45, 3, seed=seed) if outside != (0,) else noise(31, 45, seed=seed)
    where = sampling.places(matrix, range(70), range(50))
    found = sampling.sample(picture, where, outside=outside)
    assert found.dtype == np.uint8
    assert np.array_equal(found.reshape(50, 70, -1), expected(picture, where, outside))


def test_places_that_come_as_floats_are_rounded_alike() -> None:
    random = np.random.default_rng(1)
    x, y = (random.uniform(-5, 50, (40, 60)).astype(np.float32) for _ in range(2))
    where = sampling.places_of(x, y)
    for axis, at in enumerate((x, y)):
        found = where.pixels[..., axis] + ((where.steps >> (5 * axis)) & 31) / 32
        assert np.abs(found - at).max() <= 1 / 64 + 1e-6
    picture = noise(45, 50)
    assert np.array_equal(sampling.sample(picture, where)[..., None], expected(picture, where, None))


@pytest.mark.parametrize("turned", [False, True])
def test_a_photo_longer_than_opencv_takes_is_gone_through_in_parts(turned: bool) -> None:
    labels = np.repeat(np.arange(64, dtype=np.uint8)[None] // 16, 64, axis=0)
    geometry = fitting.fit(np.zeros((40, 33_000, 3), np.uint8), 64).geometry
    if turned:
        square = framing.Square(x=16_500, y=20, side=33_000, angle=2.0)
        geometry = framing.fit_square(np.zeros((40, 33_000, 3), np.uint8), 64, square).geometry
    restored = restoring.restore(labels, geometry, 40, 33_000)
    assert restored[20, [100, 10_000, 20_000, 32_900]].tolist() == [0, 1, 2, 3]


@pytest.mark.skipif(not X86, reason="on other processors OpenCV enlarges by other code")
@pytest.mark.parametrize(("scale", "digest"), [(0.4, 3366341878), (1.0, 1452666799), (3.0, 113216095)])
def test_a_turned_square_has_the_same_bytes_with_every_opencv(scale: float, digest: int) -> None:
    """Digests are of OpenCV 4.8 on x86-64; 4.9 to 5.0 give them too."""
    square = framing.Square(x=150, y=120, side=64 / scale, angle=33)
    assert zlib.crc32(framing.fit_square(noise(240, 300, 3), 64, square).pixels.tobytes()) == digest
