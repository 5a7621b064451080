"""Where things are: a face in a photo, and the way between the photo and the network's square.

Coordinates are continuous: pixel i covers [i, i + 1), its centre is i + 0.5.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

UInt8Array = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class FaceBox:
    """Where a face is, in the photo's pixels.

    Attributes:
        left, top, right, bottom: edges, in pixels, continuous coordinates.
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

    @property
    def angle(self) -> float:
        """Degrees by which it is turned clockwise from upright, in (-180, 180], by its eyes and mouth; 0 without."""
        if self.landmarks is None:
            return 0.0
        right_eye, left_eye, _, right_mouth, left_mouth = np.array(self.landmarks, dtype=float)
        across, down = left_eye - right_eye, (right_mouth + left_mouth - right_eye - left_eye) / 2
        # Upright is what both say: the line of the eyes, and the way to the mouth turned by a right angle.
        return math.degrees(math.atan2(across[1] - down[0], across[0] + down[1]))

    @property
    def turn(self) -> int:
        """As the nearest quarter turn, in degrees: 0, 90, 180 or 270; that of a photo whose faces are upright."""
        return round(self.angle / 90) % 4 * 90

    def turned(self, quarters: int, height: float, width: float) -> FaceBox:
        """The same in a photo (height, width) that was turned clockwise with it, by so many `quarters`."""
        if quarters % 4 == 0:
            return self

        def point(x: float, y: float) -> tuple[float, float]:
            return ((height - y, x), (width - x, height - y), (y, width - x))[quarters % 4 - 1]

        (x, y), (other_x, other_y) = point(self.left, self.top), point(self.right, self.bottom)
        return replace(
            self,
            left=min(x, other_x),
            top=min(y, other_y),
            right=max(x, other_x),
            bottom=max(y, other_y),
            landmarks=self.landmarks and tuple(point(*landmark) for landmark in self.landmarks),
        )

    def moved(self, x: float, y: float) -> FaceBox:
        """The same, so many pixels further right (x) and down (y)."""
        points = self.landmarks and tuple((px + x, py + y) for px, py in self.landmarks)
        return replace(
            self, left=self.left + x, top=self.top + y, right=self.right + x, bottom=self.bottom + y, landmarks=points
        )

    def scaled(self, x: float, y: float) -> FaceBox:
        """The same in a photo whose width and height are x and y times as large."""
        points = self.landmarks and tuple((px * x, py * y) for px, py in self.landmarks)
        return replace(
            self, left=self.left * x, top=self.top * y, right=self.right * x, bottom=self.bottom * y, landmarks=points
        )

    def clipped(self, height: int, width: int) -> FaceBox:
        """The part of it that lies in a photo (height, width), in whole pixels; it may be empty."""
        return replace(
            self,
            left=float(max(round(self.left), 0)),
            top=float(max(round(self.top), 0)),
            right=float(min(round(self.right), width)),
            bottom=float(min(round(self.bottom), height)),
        )

    @classmethod
    def whole(cls, height: int, width: int) -> FaceBox:
        """The box of a whole photo of (height, width) pixels."""
        return cls(left=0.0, top=0.0, right=float(width), bottom=float(height))


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """The way between photo and network square:

        square x = scale_x * photo x + turn_x * photo y + offset_x
        square y = turn_y * photo x + scale_y * photo y + offset_y

    Attributes:
        scale_x, scale_y: square pixels per photo pixel, for a square that is not turned.
        offset_x, offset_y: where the photo's corner lies in the square, in the square's pixels.
        left, top, right, bottom: the pixels of the square that show the photo; the rest is padding.
        turn_x, turn_y: square pixels per photo pixel across; 0 for a square that is not turned.
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
    def quarters(self) -> int | None:
        """How many clockwise quarter turns bring the square upright to how it lies in the photo; None: it is askew."""
        if self.turn_x == self.turn_y == 0:
            return 0 if self.scale_x > 0 else 2
        if self.scale_x == self.scale_y == 0:
            return 1 if self.turn_x > 0 else 3
        return None

    def turned(self, quarters: int, size: int) -> Geometry:
        """The way to the same square of `size` pixels when these were turned clockwise by so many `quarters`."""
        if quarters % 4 == 0:
            return self
        once = Geometry(
            scale_x=-self.turn_y,
            turn_x=-self.scale_y,
            offset_x=size - self.offset_y,
            turn_y=self.scale_x,
            scale_y=self.turn_x,
            offset_y=self.offset_x,
            left=size - self.bottom,
            top=self.left,
            right=size - self.top,
            bottom=self.right,
        )
        return once.turned(quarters % 4 - 1, size)

    @property
    def enlarges(self) -> bool:
        """Whether the photo has more pixels than the square shows of it."""
        return min(math.hypot(self.scale_x, self.turn_y), math.hypot(self.scale_y, self.turn_x)) < 1

    def to_photo(self, x: float, y: float) -> tuple[float, float]:
        """A point (x, y) of the square, in its pixels, in those of the photo."""
        determinant = self.scale_x * self.scale_y - self.turn_x * self.turn_y
        x, y = x - self.offset_x, y - self.offset_y
        return (self.scale_y * x - self.turn_x * y) / determinant, (self.scale_x * y - self.turn_y * x) / determinant

    def to_square(self, points: Iterable[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
        """The `points` (x, y) of the photo in the square, in pixels of either."""
        return tuple(
            (
                self.scale_x * x + self.turn_x * y + self.offset_x,
                self.turn_y * x + self.scale_y * y + self.offset_y,
            )
            for x, y in points
        )

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

    def for_photo_turned(self, quarters: int, height: float, width: float) -> Geometry:
        """The same way for the photo (height, width) when it is turned clockwise by so many `quarters`."""
        if quarters % 4 == 0:
            return self
        once = replace(
            self,
            scale_x=-self.turn_x,
            turn_x=self.scale_x,
            offset_x=self.offset_x + self.turn_x * height,
            turn_y=-self.scale_y,
            scale_y=self.turn_y,
            offset_y=self.offset_y + self.scale_y * height,
        )
        return once.for_photo_turned(quarters % 4 - 1, width, height)

    def for_photo_moved(self, x: float, y: float) -> Geometry:
        """The same way for a photo of which this one is the part that begins at its pixel (x, y)."""
        return replace(
            self,
            offset_x=self.offset_x - self.scale_x * x - self.turn_x * y,
            offset_y=self.offset_y - self.turn_y * x - self.scale_y * y,
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
