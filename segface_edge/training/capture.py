"""What a camera does to a picture: motion blur, noise, few pixels, compression. Torch-free."""

from __future__ import annotations

import io

import cv2
import numpy as np
from PIL import Image

from segface_edge.pictures.geometry import UInt8Array

# The way of the camera while it is open, in so many points.
_POINTS = 64


def motion_blur(image: UInt8Array, longest: float, rng: np.random.Generator) -> UInt8Array:
    """A picture taken by a camera that moves on a slightly bent way, whose middle stays where it is.

    Args:
        image: (H, H, 3) uint8 RGB.
        longest: of the way, in sides of the picture; it is at least a fifth of that.
        rng: all that is random.

    Returns:
        (H, H, 3) uint8 RGB; a new array.
    """
    length = rng.uniform(0.2, 1) * longest * len(image)
    angle, bend = rng.uniform(0, np.pi), rng.uniform(-0.6, 0.6)
    along = np.linspace(-0.5, 0.5, _POINTS)
    across = bend * (along**2 - 1 / 12)
    x = length * (along * np.cos(angle) - across * np.sin(angle))
    y = length * (along * np.sin(angle) + across * np.cos(angle))
    reach = int(np.ceil(length / 2)) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    for dx in (0, 1):
        for dy in (0, 1):
            weight = np.abs(1 - dx - (x - left)) * np.abs(1 - dy - (y - top))
            np.add.at(kernel, (reach + top + dy, reach + left + dx), weight)
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT_101), np.uint8)


def sensor_noise(image: UInt8Array, most: float, rng: np.random.Generator) -> UInt8Array:
    """Noise of a sensor and its demosaicing: coarser than a pixel half of the time. (H, W, 3) uint8, a new array.

    Its standard deviation is 2 to `most` levels.
    """
    sigma = rng.uniform(2, most)
    noise = rng.normal(0, sigma, image.shape).astype(np.float32)
    if rng.random() < 0.5:
        noise = np.asarray(2 * cv2.blur(noise, (2, 2)), np.float32)
    return np.asarray(np.clip(image + noise, 0, 255), np.uint8)


def low_resolution(image: UInt8Array, side: int, rng: np.random.Generator) -> UInt8Array:
    """A picture made `side` pixels wide and high, and as large as before again, in one of the ways that programs do it.

    (H, W, 3) uint8 RGB in and out; a new array.
    """
    down = (cv2.INTER_AREA, cv2.INTER_LINEAR)[int(rng.random() < 0.3)]
    up = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_NEAREST)[int(rng.choice(3, p=(0.5, 0.4, 0.1)))]
    small = cv2.resize(image, (side, side), interpolation=down)
    return np.asarray(cv2.resize(small, image.shape[1::-1], interpolation=up), np.uint8)


def jpeg(image: UInt8Array, quality: int) -> UInt8Array:
    """A picture through JPEG. (H, W, 3) uint8 RGB in and out."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "jpeg", quality=quality)
    with Image.open(buffer) as picture:
        return np.asarray(picture)
