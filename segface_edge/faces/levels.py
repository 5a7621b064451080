"""A photo in several sizes, turned by quarter turns: what a detector looks at."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from segface_edge.pictures.geometry import UInt8Array

# The longer sides of smaller levels: a face that is too large for one is of the best size in the next, and all of them
# cost a tenth more. The same for every photo: a face is found alike in a photo and in a smaller copy of it.
SIDES = (1280, 320)


@dataclass(frozen=True)
class Levels:
    """A photo in several sizes.

    Attributes:
        pixels: (h, w, 3) uint8 BGR each, the largest first.
        height, width: of the photo, turned as these are.
        quarters: by so many clockwise quarter turns the photo lies turned from these, 0 to 3.
    """

    pixels: tuple[UInt8Array, ...]
    height: int
    width: int
    quarters: int = 0

    @classmethod
    def of(cls, image: UInt8Array, longer: int) -> Levels:
        """Those of a photo (H, W, 3) uint8 RGB, its longer side as small as this or smaller."""
        height, width = image.shape[:2]
        longer = min(longer, max(height, width))
        levels: list[UInt8Array] = []
        smaller = image
        for side in (longer, *(side for side in SIDES if side < longer)):
            smaller = _shrunk(smaller, _size(height, width, side))
            levels.append(smaller if levels else np.asarray(cv2.cvtColor(smaller, cv2.COLOR_RGB2BGR), np.uint8))
            smaller = levels[-1]
        return cls(tuple(levels), height, width)

    def upright(self, quarters: int) -> Levels:
        """The same for faces that are turned clockwise by these quarter turns in the photo."""
        back = (quarters - self.quarters) % 4
        if not back:
            return self
        pixels = tuple(np.ascontiguousarray(np.rot90(one, back)) for one in self.pixels)
        height, width = (self.width, self.height) if back % 2 else (self.height, self.width)
        return Levels(pixels, height, width, quarters % 4)

    def smallest(self) -> Levels:
        """The smallest alone."""
        return Levels(self.pixels[-1:], self.height, self.width, self.quarters)

    def scale(self, level: int) -> tuple[float, float]:
        """Pixels of the photo, across and down, in one of a level."""
        height, width = self.pixels[level].shape[:2]
        return self.width / width, self.height / height


def _size(height: int, width: int, longer: int) -> tuple[int, int]:
    """Width and height whose longer side is this."""
    scale = longer / max(height, width)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _shrunk(image: UInt8Array, size: tuple[int, int]) -> UInt8Array:
    """Antialiased. Halved first while that can be: OpenCV does that several times as fast as it shrinks otherwise."""
    while min(image.shape[1] / size[0], image.shape[0] / size[1]) >= 2:
        even = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]
        image = np.asarray(cv2.resize(even, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)
    if image.shape[1::-1] != size:
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return image
