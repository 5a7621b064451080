"""Pixels between pixels, the same bytes with every OpenCV: places are rounded to 1/32 before they are sampled.

OpenCV 4's warps round places to 1/32 of a pixel themselves, OpenCV 5's do not: their bytes differ by up to 8 of 255.
With rounded places both compute the same integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from .geometry import UInt8Array


@dataclass(frozen=True)
class Places:
    """Where each pixel of a target lies in a picture.

    Attributes:
        pixels: (H, W, 2) int16: x, y, rounded down.
        steps: (H, W) uint16: the rest of y and x, in 1/32: 32 * y + x.
    """

    pixels: npt.NDArray[np.int16]
    steps: npt.NDArray[np.uint16]

    def __getitem__(self, window: tuple[slice, slice]) -> Places:
        """Those of a part of the target."""
        return Places(self.pixels[window], self.steps[window])


def places(to_picture: npt.NDArray[np.float64], columns: range, rows: range) -> Places:
    """Places of a target's pixels under an affine map.

    Args:
        to_picture: (2, 3), target -> picture, pixel i's centre being i in both. Places must lie within +-32767.
        columns, rows: of the target, at least one and fewer than 32767 each, as OpenCV wants them.
    """
    x, y = np.array(columns, np.float64), np.array(rows, np.float64)
    maps = [
        (by_x * x).astype(np.float32) + (by_y * y + first).astype(np.float32)[:, None]
        for by_x, by_y, first in to_picture.tolist()
    ]
    return places_of(*maps)


def places_of(x: npt.NDArray[np.float32], y: npt.NDArray[np.float32]) -> Places:
    """Places (H, W) float32 of each pixel of a target, rounded."""
    pixels, steps = cv2.convertMaps(x, y, cv2.CV_16SC2)
    return Places(np.asarray(pixels, np.int16), np.asarray(steps, np.uint16))


def sample(picture: UInt8Array, where: Places, *, outside: tuple[int, ...] | None = None) -> UInt8Array:
    """A picture (h, w) or (h, w, C) uint8 at places, bilinear: (H, W) or (H, W, C) uint8.

    Args:
        picture: fewer than 32767 pixels wide and high.
        where: the places.
        outside: the colour beyond the picture's edge; None: its edge goes on.
    """
    border: dict[str, Any] = {"borderMode": cv2.BORDER_REPLICATE}
    if outside is not None:
        border = {"borderMode": cv2.BORDER_CONSTANT, "borderValue": outside}
    return np.asarray(cv2.remap(picture, where.pixels, where.steps, cv2.INTER_LINEAR, **border), np.uint8)
