"""The RoI tanh warp of SegFace's models of LaPa: the face upright in the middle of the square, the rest pressed to its
edges (Lin et al., CVPR 2019, arXiv 1906.01342; with SegFace's template and factor).

Here is the formula, for NumPy and PyTorch alike, and what the runtime does with it. Places are as the authors have
them: pixel i lies at i, while the sampling, `grid_sample`'s without aligned corners, takes i + 0.5 for its centre.
Their networks learned with that, so it stays.

Shape letters: N faces, S side of the square, K classes.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from .fitting import PADDING
from .geometry import UInt8Array
from .sampling import Places, largest, places_of, sample

# Where the two eyes (the left one in the picture first), the nose and the mouth's corners come to lie, of 512 x 512.
_TEMPLATE = ((196.0, 226.0), (316.0, 226.0), (256.0, 286.0), (220.0, 360.4), (292.0, 360.4))
# Up to 1 - FACTOR from the middle, of 1, nothing is pressed; what would lie at the very edge is infinitely far.
FACTOR = 0.8
_MOST = 1 - 1e-3


class Warp:
    """The warp of some faces.

    Args:
        landmarks: (N, 5, 2) float, x and y in the square's pixels: the eyes, the one on the picture's left first, the
            nose, the mouth's corners likewise. No face's may all lie in one place.
        positions: (S,) the numbers 0 to S - 1, of the same type.
        library: `numpy` or `torch`, whatever both are of.
    """

    def __init__(self, landmarks: Any, positions: Any, library: Any) -> None:
        self._library, self._positions = library, positions
        self._size = size = positions.shape[0]
        wanted = [(x / 256 * (size - 1) / 2, y / 256 * (size - 1) / 2) for x, y in _TEMPLATE]
        middle_u, middle_v = (sum(axis) / len(wanted) for axis in zip(*wanted, strict=True))
        middle = landmarks.mean(1)  # (N, 2)
        x, y = (landmarks[:, :, axis] - middle[:, axis, None] for axis in (0, 1))
        # The similarity that brings the points nearest to the template, least squares in closed form.
        spread = (x * x + y * y).sum(1)
        cos: Any = sum(x[:, i] * (u - middle_u) + y[:, i] * (v - middle_v) for i, (u, v) in enumerate(wanted))
        sin: Any = sum(x[:, i] * (v - middle_v) - y[:, i] * (u - middle_u) for i, (u, v) in enumerate(wanted))
        self._cos, self._sin = ((value / spread)[:, None, None] for value in (cos, sin))
        self._x, self._y = (middle[:, axis, None, None] for axis in (0, 1))
        self._u, self._v = middle_u, middle_v

    def grid(self) -> Any:
        """(N, S, S, 2): where each pixel of the warped square lies in the square, from -1 to 1."""
        pressed = self._normal(self._positions)
        flat = self._library.clip(pressed, FACTOR - 1, 1 - FACTOR)
        beyond = self._library.clip((pressed - flat) / FACTOR, -_MOST, _MOST)
        far = self._pixels(flat + FACTOR * self._library.arctanh(beyond))
        u, v = far[None, None, :] - self._u, far[None, :, None] - self._v
        square = self._cos * self._cos + self._sin * self._sin
        return self._normal(
            self._pairs(
                (self._cos * u + self._sin * v) / square + self._x, (self._cos * v - self._sin * u) / square + self._y
            )
        )

    def inverse(self) -> Any:
        """(N, S, S, 2): where each pixel of the square lies in the warped square, from -1 to 1."""
        x, y = self._positions[None, None, :] - self._x, self._positions[None, :, None] - self._y
        far = self._normal(
            self._pairs(self._cos * x - self._sin * y + self._u, self._sin * x + self._cos * y + self._v)
        )
        flat = self._library.clip(far, FACTOR - 1, 1 - FACTOR)
        return flat + FACTOR * self._library.tanh((far - flat) / FACTOR)

    def _normal(self, pixels: Any) -> Any:
        return pixels / self._size * 2 - 1

    def _pixels(self, normal: Any) -> Any:
        return (normal + 1) / 2 * self._size

    def _pairs(self, x: Any, y: Any) -> Any:
        return self._library.stack((x, y), -1)


def warp_square(square: UInt8Array, landmarks: npt.ArrayLike) -> UInt8Array:
    """A square (S, S, 3) uint8 RGB as a warped network is shown it: bilinear, places rounded to 1/32 of a pixel.

    Args:
        square: from `fitting` or `framing`.
        landmarks: (5, 2), as of `Warp`.
    """
    where = _places(_warp(landmarks, len(square)).grid()[0])
    return sample(square, where, outside=PADDING)


def unwarp_labels(labels: UInt8Array, landmarks: npt.ArrayLike) -> UInt8Array:
    """A label map (S, S) uint8 of the warped square in the square's own pixels: (S, S) uint8.

    Each class's mask is interpolated bilinearly, and the largest wins, the lowest label of equals.
    """
    where = _places(_warp(landmarks, len(labels)).inverse()[0])
    there = np.flatnonzero(np.bincount(labels.ravel(), minlength=256)).tolist()
    masks = ((label, np.asarray(cv2.inRange(labels, label, label), np.uint8)) for label in there)
    return largest(masks, where, outside=(0,))


def unwarp_confidence(confidence: UInt8Array, landmarks: npt.ArrayLike) -> UInt8Array:
    """Confidence (S, S) uint8 of the warped square in the square's own pixels, bilinear: (S, S) uint8."""
    return sample(confidence, _places(_warp(landmarks, len(confidence)).inverse()[0]))


def unwarp_logits(logits: npt.NDArray[np.float32], landmarks: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Logits (K, S, S) of the warped square in the square's own pixels, as the authors have them: bilinear, and 0,
    which makes background, where the warped square does not reach."""
    where = _places(_warp(landmarks, logits.shape[-1]).inverse()[0])
    border: dict[str, Any] = {"borderMode": cv2.BORDER_CONSTANT, "borderValue": 0}
    return np.stack([cv2.remap(plane, where.pixels, where.steps, cv2.INTER_LINEAR, **border) for plane in logits])


def _warp(landmarks: npt.ArrayLike, size: int) -> Warp:
    # In single precision places differ by less than 1/1000 of a pixel, and take half the time.
    return Warp(np.asarray(landmarks, np.float32)[None], np.arange(size, dtype=np.float32), np)


def _places(grid: npt.NDArray[np.float32]) -> Places:
    """Of a grid (S, S, 2); what lies far outside is brought near, where it finds nothing either."""
    size = len(grid)
    x, y = (np.clip(grid[..., axis] * (size / 2) + (size - 1) / 2, -2, size + 1) for axis in (0, 1))
    return places_of(x, y)
