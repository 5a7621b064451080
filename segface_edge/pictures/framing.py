"""Which square of a photo the network is shown: that of CelebA-HQ, which it was trained on, from eyes and mouth, or
from a face's box."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from segface_edge.errors import ImageError

from .fitting import PADDING, fit
from .geometry import FaceBox, Fitted, Geometry, UInt8Array
from .sampling import places, sample

# CelebA-HQ's square (Karras et al., ICLR 2018, appendix C): its centre lies below the eyes by this share of the way to
# the mouth; its side is the larger of so many distances of the eyes, or from eyes to mouth.
_BELOW_EYES, _EYES, _MOUTH = 0.1, 4.0, 3.6
# The same square from the box of a detector, in heights of the box: medians over CelebAMask-HQ with YuNet.
_BOX_SIDE, _ABOVE_BOX, _BOX_WIDTH = 1.35, 0.07, 0.72
# A square that is turned less, or so little more than by a right angle, is not turned by it: sampling twice would cost
# more than it brings.
_LEAST_TURN = 1.0


@dataclass(frozen=True, kw_only=True)
class Square:
    """A square of a photo, in its pixels; it may reach beyond the photo.

    Attributes:
        x, y: its centre.
        side: its side.
        angle: degrees, by which its upper side is turned clockwise from the photo's, in (-180, 180].
    """

    x: float
    y: float
    side: float
    angle: float = 0.0

    def corners(self) -> list[tuple[float, float]]:
        """Upper left, upper right, lower right, lower left."""
        cos, sin = self._directions()
        half = self.side / 2
        return [
            (self.x + half * (a * cos - b * sin), self.y + half * (a * sin + b * cos))
            for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))
        ]

    def box(self) -> FaceBox:
        """The same square, not turned."""
        half = self.side / 2
        return FaceBox(left=self.x - half, top=self.y - half, right=self.x + half, bottom=self.y + half)

    @property
    def quarters(self) -> int:
        """The clockwise quarter turns nearest to its angle, 0 to 3."""
        return round(self.angle / 90) % 4

    @property
    def askew(self) -> float:
        """Degrees by which it is turned further, in [-45, 45]."""
        return self.angle - 90 * round(self.angle / 90)

    def _directions(self) -> tuple[float, float]:
        return math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))


def square_of(face: FaceBox) -> Square:
    """The square that CelebA-HQ would have cut out for a face, from its landmarks where it has them."""
    if face.landmarks is None:
        height = face.bottom - face.top
        return Square(
            x=(face.left + face.right) / 2,
            y=(face.top + face.bottom) / 2 - _ABOVE_BOX * height,
            side=_BOX_SIDE * height,
        )
    right_eye, left_eye, _, right_mouth, left_mouth = np.array(face.landmarks, dtype=float)
    eyes, mouth = (right_eye + left_eye) / 2, (right_mouth + left_mouth) / 2
    across, down = left_eye - right_eye, mouth - eyes
    centre = eyes + _BELOW_EYES * down
    return Square(
        x=float(centre[0]),
        y=float(centre[1]),
        side=float(max(_EYES * np.hypot(*across), _MOUTH * np.hypot(*down))),
        angle=face.angle,
    )


def face_of(landmarks: tuple[tuple[float, float], ...] | None, square: Square | None = None) -> FaceBox:
    """The box that a detector would give for landmarks, or for a square alone: the way back of `square_of`."""
    if square is None:
        square = square_of(FaceBox(left=0, top=0, right=1, bottom=1, landmarks=landmarks))
    height = square.side / _BOX_SIDE
    width, middle = _BOX_WIDTH * height, square.y + _ABOVE_BOX * height
    return FaceBox(
        left=square.x - width / 2,
        top=middle - height / 2,
        right=square.x + width / 2,
        bottom=middle + height / 2,
        landmarks=landmarks,
    )


def overlap(one: Square, width: int, height: int) -> float:
    """How much of a square and of the one around a photo is common to both (`iou`); turns do not count."""
    return iou(one.box(), Square(x=width / 2, y=height / 2, side=max(width, height)).box())


def iou(one: FaceBox, other: FaceBox) -> float:
    """The area that is common to two boxes, over what either has."""
    width = max(0.0, min(one.right, other.right) - max(one.left, other.left))
    height = max(0.0, min(one.bottom, other.bottom) - max(one.top, other.top))
    both = (one.right - one.left) * (one.bottom - one.top) + (other.right - other.left) * (other.bottom - other.top)
    return width * height / (both - width * height)


def fit_square(image: UInt8Array, size: int, square: Square) -> Fitted:
    """A square of a photo in the network's square, upright.

    Args:
        image: (H, W, 3) uint8 RGB.
        size: S.
        square: what to show; what lies outside of the photo is padding.

    Raises:
        ImageError: the square lies outside of the photo.
    """
    if abs(square.askew) < _LEAST_TURN:
        return _fit_lying(image, size, square)
    height, width = image.shape[:2]
    corners = np.array(square.corners())
    # Two pixels more, for the neighbours of those at the edge.
    left, top = np.maximum(np.floor(corners.min(0)) - 2, 0).astype(int)
    right, bottom = np.minimum(np.ceil(corners.max(0)) + 2, (width, height)).astype(int)
    if left >= right or top >= bottom:
        raise ImageError("face", f"lies outside the picture of {width} x {height}", "give a box inside it")
    scale = size / square.side
    part = image[top:bottom, left:right]
    if scale < 1:
        # Antialiased, which turning is not: made smaller first.
        small = (max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale)))
        part = np.asarray(Image.fromarray(part).resize(small, Image.Resampling.BICUBIC))
    # Bicubic at twice the final size, then bilinear: OpenCV 4's and 5's own bicubic turning differ.
    twice = (max(1, round(2 * scale * (right - left))), max(1, round(2 * scale * (bottom - top))))
    part = np.asarray(cv2.resize(part, twice, interpolation=cv2.INTER_CUBIC), np.uint8)
    to_square = _to_square(square, size)
    x, y = part.shape[1] / (right - left), part.shape[0] / (bottom - top)
    to_part = np.array([[x, 0, -x * left], [0, y, -y * top]]) @ np.linalg.inv(to_square)
    to_part[:, 2] += to_part[:, :2] @ (0.5, 0.5) - 0.5  # pixel i's centre is i + 0.5
    pixels = sample(part, places(to_part, range(size), range(size)), outside=PADDING)
    geometry = Geometry(
        scale_x=float(to_square[0, 0]),
        turn_x=float(to_square[0, 1]),
        offset_x=float(to_square[0, 2]),
        turn_y=float(to_square[1, 0]),
        scale_y=float(to_square[1, 1]),
        offset_y=float(to_square[1, 2]),
        left=0,
        top=0,
        right=size,
        bottom=size,
    )
    return Fitted(pixels, geometry)


def _fit_lying(image: UInt8Array, size: int, square: Square) -> Fitted:
    """A square that is turned by quarter turns alone: the bytes that it has in the upright photo."""
    quarters, box = square.quarters, square.box()
    if not quarters:
        return fit(image, size, box=box)
    # Its part of the photo is turned before it is resampled, with all pixels that cubic weights reach.
    reach = math.ceil(3 * max(1.0, square.side / size)) + 1
    left, top = max(math.floor(box.left) - reach, 0), max(math.floor(box.top) - reach, 0)
    part = image[top : math.ceil(box.bottom) + reach, left : math.ceil(box.right) + reach]
    height, width = part.shape[:2]
    upright = np.ascontiguousarray(np.rot90(part, quarters))
    fitted = fit(upright, size, box=box.moved(-left, -top).turned(-quarters, height, width))
    return Fitted(
        fitted.pixels, fitted.geometry.for_photo_turned(quarters, *upright.shape[:2]).for_photo_moved(left, top)
    )


def _to_square(square: Square, size: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """(3, 3): photo -> square."""
    scale = size / square.side
    cos, sin = (scale * value for value in square._directions())
    return np.array(
        [
            [cos, sin, size / 2 - cos * square.x - sin * square.y],
            [-sin, cos, size / 2 + sin * square.x - cos * square.y],
            [0, 0, 1],
        ]
    )
