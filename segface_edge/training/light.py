"""Light that falls unevenly: from one side, with the shadow of something on part of the picture."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from segface_edge.pictures.geometry import UInt8Array

# The field of light is drawn at this side and enlarged: it is smooth.
_SIDE = 96
# How much brighter one side of the picture is than its middle, as the logarithm of a factor of sRGB's values.
_SLOPE = (0.15, 0.6)
_SHADE = (0.3, 0.65)
_SHADOWS = 0.6


def uneven_light(image: UInt8Array, rng: np.random.Generator) -> UInt8Array:
    """A picture lit from one side; more often than not with a shadow on part of it, its edge sharp or soft.

    Args:
        image: (H, H, 3) uint8 RGB.
        rng: all that is random.

    Returns:
        (H, H, 3) uint8 RGB; a new array.
    """
    axis = np.linspace(-1, 1, _SIDE, dtype=np.float32)
    x, y = axis[None, :], axis[:, None]
    angle, slope = rng.uniform(0, 2 * np.pi), rng.uniform(*_SLOPE)
    gain = np.exp(slope * (x * np.cos(angle) + y * np.sin(angle)))[..., None]
    # Lamps are warmer than the sky that lights what they do not reach.
    warmth = rng.uniform(-0.12, 0.12) * (gain - 1)
    gain = gain * (1 + warmth * np.array([1, 0, -1]))
    if rng.random() < _SHADOWS:
        gain = gain * _shadow(x, y, rng)
    field = cv2.resize(gain.astype(np.float32), image.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(image * field + 0.5, 0, 255), np.uint8)


def _shadow(
    x: npt.NDArray[np.float32], y: npt.NDArray[np.float32], rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """(_SIDE, _SIDE, 3) factors: the shadow of an edge that bends, or of something round, up to 1."""
    angle = rng.uniform(0, 2 * np.pi)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    if rng.random() < 0.6:
        waves = rng.uniform(0, 0.15, 2)
        phases = rng.uniform(0, 2 * np.pi, 2)
        edge = along - rng.uniform(-0.4, 0.4) - waves[0] * np.sin(2 * across + phases[0])
        edge = edge - waves[1] * np.sin(5 * across + phases[1])
    else:
        centre, radii = rng.uniform(-0.5, 0.5, 2), rng.uniform(0.25, 0.8, 2)
        round_ = np.hypot((along - centre[0]) / radii[0], (across - centre[1]) / radii[1])
        edge = (1 - round_) * radii.min()
    softness = np.exp(rng.uniform(np.log(0.02), np.log(0.25)))
    depth = rng.uniform(*_SHADE)
    # Light from the sky fills a shadow: a little blue.
    tint = np.array([1.0, 1.0, 1 - rng.uniform(0, 0.12)])
    return np.asarray(1 - depth * tint / (1 + np.exp(-np.clip(edge / softness, -30, 30)))[..., None])
