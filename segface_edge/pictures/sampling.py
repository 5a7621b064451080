"""Pixels between pixels, the same bytes with every OpenCV: places are rounded to 1/32 before they are sampled.

OpenCV 4's warps round places to 1/32 of a pixel themselves, OpenCV 5's do not: their bytes differ by up to 8 of 255.
With rounded places both compute the same integers.
"""

from __future__ import annotations

from collections.abc import Iterable
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

    def only(self, chosen: npt.NDArray[np.intp]) -> Places:
        """Those of some pixels of the target, by their number in it, one after another: (1, len(chosen))."""
        return Places(self.pixels.reshape(-1, 2)[chosen][None], self.steps.ravel()[chosen][None])


@dataclass(frozen=True)
class Grid:
    """`Places` of a target that is not askew: each column has an x, each row a y.

    Attributes:
        x, y: (W,) and (H,) int16, rounded down.
        x_steps, y_steps: (W,) and (H,) uint16: the rest, in 1/32.
    """

    x: npt.NDArray[np.int16]
    y: npt.NDArray[np.int16]
    x_steps: npt.NDArray[np.uint16]
    y_steps: npt.NDArray[np.uint16]

    def only(self, chosen: npt.NDArray[np.intp]) -> Places:
        """As of `Places`."""
        rows, columns = np.divmod(chosen, len(self.x))
        pixels = np.empty((1, len(chosen), 2), np.int16)
        pixels[..., 0], pixels[..., 1] = self.x[columns], self.y[rows]
        return Places(pixels, (32 * self.y_steps[rows] + self.x_steps[columns])[None])


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


def grid(to_picture: npt.NDArray[np.float64], columns: range, rows: range) -> Grid:
    """`places` for a map that is not askew: to_picture is (2, 3) with 0 for what turns."""
    (by_x, _, first_x), (_, by_y, first_y) = to_picture.tolist()
    found = []
    for by, first, positions in ((by_x, first_x, columns), (by_y, first_y, rows)):
        values = (by * np.array(positions, np.float64) + first).astype(np.float32)[:, None]
        at = places_of(values, np.zeros_like(values))
        found.append((at.pixels[:, 0, 0], at.steps[:, 0]))
    (x, x_steps), (y, y_steps) = found
    return Grid(x, y, x_steps, y_steps)


def places_of(x: npt.NDArray[np.float32], y: npt.NDArray[np.float32]) -> Places:
    """Places (H, W) float32 of each pixel of a target, rounded."""
    pixels, steps = cv2.convertMaps(x, y, cv2.CV_16SC2)
    return Places(np.asarray(pixels, np.int16), np.asarray(steps, np.uint16))


def left_above(picture: UInt8Array, where: Places | Grid, *, outside: int = 0) -> UInt8Array:
    """The pixel of a picture (h, w) uint8 to the left of and above each place: (H, W) uint8.

    Beyond the picture's edge a grid finds the edge, places that may be askew find `outside`.
    """
    if isinstance(where, Grid):
        return picture.take(where.y, 0, mode="clip").take(where.x, 1, mode="clip")
    # Places are rounded down already: the nearest pixel is the one that they name. Without a second map: a zero in it
    # means a pixel more in x and y to all OpenCV but 4.14.
    options: dict[str, Any] = {"map2": None, "borderMode": cv2.BORDER_CONSTANT, "borderValue": (outside,)}
    return np.asarray(cv2.remap(picture, where.pixels, interpolation=cv2.INTER_NEAREST, **options), np.uint8)


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


def largest(
    masks: Iterable[tuple[int, UInt8Array]], where: Places, *, outside: tuple[int, ...] | None = None
) -> UInt8Array:
    """The label whose mask is largest at each place, the first of equals, 0 where none is seen: (H, W) uint8.

    Args:
        masks: labels, and the mask (h, w) uint8 of each.
        where, outside: as of `sample`.
    """
    target, most = (np.zeros(where.steps.shape, np.uint8) for _ in range(2))
    for label, mask in masks:
        sampled = sample(mask, where, outside=outside)
        wins = cv2.compare(sampled, most, cv2.CMP_GT)
        cv2.copyTo(sampled, wins, most)
        np.copyto(target, np.uint8(label), where=wins != 0)
    return target
