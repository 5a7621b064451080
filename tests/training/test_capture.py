"""What light and a camera do to a picture."""

from __future__ import annotations

import numpy as np
import pytest

from segface_edge import zoo
from segface_edge.pictures import fitting, reading
from segface_edge.pictures.geometry import UInt8Array
from segface_edge.training.capture import jpeg, low_resolution, motion_blur, sensor_noise
from segface_edge.training.light import uneven_light

SIDE = 192


@pytest.fixture(scope="module")
def photo() -> UInt8Array:
    pixels = fitting.fit(reading.load(zoo.PORTRAIT), SIDE).pixels.copy()
    pixels.setflags(write=False)
    return pixels


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


CHANGES = {
    "light": uneven_light,
    "motion": lambda image, numbers: motion_blur(image, 0.06, numbers),
    "noise": lambda image, numbers: sensor_noise(image, 16, numbers),
    "low_resolution": lambda image, numbers: low_resolution(image, 48, numbers),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_follows_from_its_numbers(photo: UInt8Array, name: str) -> None:
    change = CHANGES[name]
    for seed in range(4):
        one = change(photo, rng(seed))
        assert one.shape == photo.shape
        assert one.dtype == np.uint8
        assert np.array_equal(one, change(photo, rng(seed)))
        assert not np.array_equal(one, photo)
        # It is the same picture still.
        assert np.corrcoef(one.reshape(-1), photo.reshape(-1))[0, 1] > 0.75


def test_light_multiplies_a_picture_smoothly() -> None:
    grey = np.full((SIDE, SIDE, 3), 100, np.uint8)
    spreads = []
    for seed in range(30):
        lit = uneven_light(grey, rng(seed)).astype(float) / 100
        spreads.append(lit.max() / lit.min())
        # A step between neighbours is small against the whole range: an edge of a shadow takes several pixels.
        for axis in (0, 1):
            assert np.abs(np.diff(lit, axis=axis)).max() < 0.35 * (lit.max() - lit.min()) + 0.03
        black = np.zeros_like(grey)
        assert np.array_equal(uneven_light(black, rng(seed)), black)
    assert 1.3 < float(np.median(spreads)) < 5


def test_motion_spreads_a_point_along_a_way_and_keeps_its_place() -> None:
    black = np.zeros((101, 101, 3), np.uint8)
    black[48:53, 48:53] = 255
    lengths = []
    for seed in range(20):
        blurred = motion_blur(black, 0.2, rng(seed))[..., 0].astype(float)
        rows, columns = np.nonzero(blurred)
        weights = blurred[rows, columns]
        assert weights.sum() == pytest.approx(25 * 255, rel=0.1)
        centre = np.array([np.average(rows, weights=weights), np.average(columns, weights=weights)])
        assert np.abs(centre - 50).max() < 0.7
        spread = np.linalg.eigvalsh(np.cov(np.stack([rows, columns]), aweights=weights))
        assert spread[1] > 1.4 * spread[0]
        lengths.append(np.sqrt(12 * spread[1]))
    # A way of the length L has the standard deviation L / sqrt(12); 4 to 20 pixels of 101.
    assert 4 < min(lengths) < 9
    assert 15 < max(lengths) < 23


def test_noise_is_as_strong_as_its_limit() -> None:
    grey = np.full((SIDE, SIDE, 3), 128, np.uint8)
    for most in (16, 40):
        spreads = [sensor_noise(grey, most, rng(seed)).std() for seed in range(40)]
        assert 2 <= min(spreads) < 0.3 * most
        assert 0.75 * most < max(spreads) < 1.1 * most


def test_few_pixels_tell_little(photo: UInt8Array) -> None:
    errors = [np.abs(low_resolution(photo, side, rng(0)).astype(int) - photo).mean() for side in (SIDE, 96, 48, 32)]
    assert errors[0] == 0
    assert errors == sorted(errors)
    assert errors[3] > 3


def test_compression_loses_more_at_less_quality(photo: UInt8Array) -> None:
    errors = [np.abs(jpeg(photo, quality).astype(int) - photo).mean() for quality in (95, 60, 20)]
    assert 0 < errors[0] < errors[1] < errors[2]
