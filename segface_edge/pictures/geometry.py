"""Where things are: a face in a photo, and the way between the photo and the network's square.

Coordinates are continuous: pixel i covers [i, i + 1), its centre is i + 0.5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

UInt8Array = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class FaceBox:
    """Where a face is, in the photo's pixels.

    Attributes:
        left, top, right, bottom: edges, continuous coordinates.
        score: detection score in [0, 1]; 1 where the box was given.
        landmarks: (x, y) of the right eye, the left eye, the nose, the right and the left corner of the mouth (the
            subject's right, so mostly left in the photo), or None.
        track: the face's number through a steady video, from 0; None elsewhere.
    """

    left: float
    top: float
    right: float
    bottom: float
    score: float = 1.0
    landmarks: tuple[tuple[float, float], ...] | None = None
    track: int | None = None

    def moved(self, x: float, y: float) -> FaceBox:
        """The same, elsewhere."""
        points = self.landmarks and tuple((px + x, py + y) for px, py in self.landmarks)
        return replace(
            self, left=self.left + x, top=self.top + y, right=self.right + x, bottom=self.bottom + y, landmarks=points
        )

    @classmethod
    def whole(cls, height: int, width: int) -> FaceBox:
        """The box of a whole photo."""
        return cls(left=0.0, top=0.0, right=float(width), bottom=float(height))


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """The way between photo and network square:

        square x = scale_x * photo x + turn_x * photo y + offset_x
        square y = turn_y * photo x + scale_y * photo y + offset_y

    Attributes:
        scale_x, scale_y: square pixels per photo pixel, for a square that is not turned.
        offset_x, offset_y: where the photo's corner lies in the square.
        left, top, right, bottom: the part of the square that shows the photo; the rest is padding.
        turn_x, turn_y: 0 for a square that is not turned.
    """

    scale_x: float
    scale_y: float
    offset_x: float
    offset_y: float
    left: int
    top: int
    right: int
    bottom: int
    turn_x: float = 0.0
    turn_y: float = 0.0

    @property
    def turned(self) -> bool:
        """Whether the square's sides are not the photo's."""
        return self.turn_x != 0 or self.turn_y != 0

    @property
    def enlarges(self) -> bool:
        """Whether the photo has more pixels than the square shows of it."""
        return min(math.hypot(self.scale_x, self.turn_y), math.hypot(self.scale_y, self.turn_x)) < 1

    def to_photo(self, x: float, y: float) -> tuple[float, float]:
        """A point of the square in the photo."""
        determinant = self.scale_x * self.scale_y - self.turn_x * self.turn_y
        x, y = x - self.offset_x, y - self.offset_y
        return (self.scale_y * x - self.turn_x * y) / determinant, (self.scale_x * y - self.turn_y * x) / determinant

    def for_photo_scaled(self, x: float, y: float) -> Geometry:
        """The same way for a photo whose width and height are x and y times as large."""
        return Geometry(
            scale_x=self.scale_x / x,
            scale_y=self.scale_y / y,
            offset_x=self.offset_x,
            offset_y=self.offset_y,
            left=self.left,
            top=self.top,
            right=self.right,
            bottom=self.bottom,
            turn_x=self.turn_x / y,
            turn_y=self.turn_y / x,
        )


@dataclass(frozen=True)
class Fitted:
    """A face in the network's square.

    Attributes:
        pixels: (S, S, 3) uint8 RGB.
        geometry: the way back.
    """

    pixels: UInt8Array
    geometry: Geometry
