"""The box of a photo and its label map that a data set's protocol shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from segface_edge.errors import DataError

from .geometry import FaceBox, UInt8Array


def cut(
    image: UInt8Array, labels: UInt8Array, box: FaceBox, source: Path
) -> tuple[UInt8Array, UInt8Array, tuple[float, float]]:
    """A box of both, in whole pixels, without what lies beyond the photo; and where its corner (x, y) is in the photo.

    Args:
        image: (H, W, 3) uint8 RGB.
        labels: (h, w) uint8 of the same picture.
        box: in the photo's pixels.
        source: the photo's file, for messages.

    Raises:
        DataError: it lies outside the photo.
    """
    (height, width), (rows, columns) = image.shape[:2], labels.shape
    inside = box.clipped(height, width)
    if inside.left >= inside.right or inside.top >= inside.bottom:
        raise DataError(source, f"its face lies outside the picture of {width} x {height}", "correct its landmarks")
    there = inside.scaled(columns / width, rows / height).clipped(rows, columns)
    return _part(image, inside), _part(labels, there), (inside.left, inside.top)


def _part(picture: UInt8Array, box: FaceBox) -> UInt8Array:
    return np.ascontiguousarray(picture[int(box.top) : int(box.bottom), int(box.left) : int(box.right)])
