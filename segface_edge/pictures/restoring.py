"""Label maps and confidence, brought back from the network's square to the photo: the only post-processing."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from .geometry import Geometry, UInt8Array

# Standard deviation, in square pixels, of the smoothing of masks that are enlarged.
SMOOTHING = 0.6


def restore(labels: UInt8Array, geometry: Geometry, height: int, width: int) -> UInt8Array:
    """A label map of the network's square in the photo's pixels, with smooth edges.

    Each class's mask is interpolated bilinearly at the photo's pixel centres, and the largest wins (the lowest label
    of equals). A mask is warped only where its class is, and in 8 bits: weights that differ by less than 1/255 may
    count as equal.

    Where the photo is larger than the square, masks are smoothed first: bilinear weights of a hard mask alone give
    back its blocks (at twice the size they equal nearest-neighbour). The width is the one that serves thin classes
    best; `benchmarks/restore.py` measures it.

    Args:
        labels: (S, S) uint8.
        geometry: from `fit`.
        height, width: of the photo.

    Returns:
        (height, width) uint8; background (0) outside the part of the photo that the square showed.
    """
    rows, columns, part = restore_part(labels, geometry, height, width)
    return _whole(rows, columns, part, height, width)


def restore_part(labels: UInt8Array, geometry: Geometry, height: int, width: int) -> tuple[range, range, UInt8Array]:
    """The same without the pixels around it: the photo's rows and columns that the square shows, and their labels."""
    labels, geometry = _as_it_lies(labels, geometry)
    shown = labels[geometry.top : geometry.bottom, geometry.left : geometry.right]
    columns, rows = _shown(geometry, height, width)
    target = np.zeros((len(rows), len(columns)), np.uint8)
    if not target.size:
        return rows, columns, target
    largest = np.zeros_like(target)
    for label in np.flatnonzero(np.bincount(shown.reshape(-1), minlength=1)):
        mask: npt.NDArray[Any] = np.equal(shown, label).view(np.uint8) * np.uint8(255)
        if geometry.enlarges:
            mask = cv2.GaussianBlur(mask, (3, 3), SMOOTHING, borderType=cv2.BORDER_REPLICATE)
        left, top, mask_width, mask_height = cv2.boundingRect(mask)
        # A mask reaches one square pixel beyond its last.
        reach = (geometry.left + left - 1, geometry.top + top - 1, mask_width + 2, mask_height + 2)
        x, y = _reached(geometry, reach, columns, rows)
        if not len(x) or not len(y):
            continue
        warped = _warp(mask, geometry, x, y)
        window = np.s_[y.start - rows.start : y.stop - rows.start, x.start - columns.start : x.stop - columns.start]
        wins = cv2.compare(warped, largest[window], cv2.CMP_GT)
        cv2.copyTo(warped, wins, largest[window])
        target[window][wins != 0] = label
    return rows, columns, target


def restore_confidence(confidence: UInt8Array, geometry: Geometry, height: int, width: int) -> UInt8Array:
    """A confidence map (S, S) uint8 of the network's square in the photo's pixels, bilinear: (height, width) uint8."""
    rows, columns, part = restore_confidence_part(confidence, geometry, height, width)
    return _whole(rows, columns, part, height, width)


def restore_confidence_part(
    confidence: UInt8Array, geometry: Geometry, height: int, width: int
) -> tuple[range, range, UInt8Array]:
    """The same without the pixels around it, as of `restore_part`."""
    confidence, geometry = _as_it_lies(confidence, geometry)
    columns, rows = _shown(geometry, height, width)
    shown = np.ascontiguousarray(confidence[geometry.top : geometry.bottom, geometry.left : geometry.right])
    if not len(columns) or not len(rows):
        return rows, columns, np.zeros((len(rows), len(columns)), np.uint8)
    return rows, columns, _warp(shown, geometry, columns, rows)


def _as_it_lies(values: UInt8Array, geometry: Geometry) -> tuple[UInt8Array, Geometry]:
    """(S, S) of a square as it lies in the photo, where that is by quarter turns: exact, and nothing is warped."""
    quarters = geometry.quarters
    if not quarters:
        return values, geometry
    return np.ascontiguousarray(np.rot90(values, -quarters)), geometry.turned(quarters, values.shape[0])


def _whole(rows: range, columns: range, part: UInt8Array, height: int, width: int) -> UInt8Array:
    if part.shape == (height, width):
        return part
    restored = np.zeros((height, width), np.uint8)
    restored[rows.start : rows.stop, columns.start : columns.stop] = part
    return restored


def _shown(geometry: Geometry, height: int, width: int) -> tuple[range, range]:
    """The photo's columns and rows whose centres the square shows, or, turned, may show."""
    part = (geometry.left, geometry.top, geometry.right - geometry.left, geometry.bottom - geometry.top)
    return _reached(geometry, part, range(width), range(height))


def _reached(geometry: Geometry, part: tuple[int, int, int, int], columns: range, rows: range) -> tuple[range, range]:
    """Those of the photo's columns and rows that a part (left, top, width, height) of the square lies in."""
    left, top, width, height = part
    if geometry.quarters == 0:
        return (
            _covered(columns, left, width, geometry.scale_x, geometry.offset_x),
            _covered(rows, top, height, geometry.scale_y, geometry.offset_y),
        )
    corners = [geometry.to_photo(left + x, top + y) for x in (0, width) for y in (0, height)]
    found = []
    for photo, values in zip((columns, rows), zip(*corners, strict=True), strict=True):
        first, last = math.ceil(min(values) - 0.5), math.floor(max(values) - 0.5)
        found.append(range(max(first, photo.start), max(min(last + 1, photo.stop), photo.start)))
    return found[0], found[1]


def _covered(photo: range, start: int, length: int, scale: float, offset: float) -> range:
    """The pixels of `photo` whose centres lie in square coordinates [start, start + length]."""
    first = math.ceil((start - offset) / scale - 0.5 - 1e-6)
    last = math.floor((start + length - offset) / scale - 0.5 + 1e-6)
    return range(max(first, photo.start), max(min(last + 1, photo.stop), photo.start))


def _warp(shown: UInt8Array, geometry: Geometry, columns: range, rows: range) -> UInt8Array:
    """The shown part of the square, bilinear, at the centres of the photo's `columns` and `rows`."""
    x, y = columns.start + 0.5, rows.start + 0.5
    first_x = x * geometry.scale_x + y * geometry.turn_x + geometry.offset_x - geometry.left - 0.5
    first_y = x * geometry.turn_y + y * geometry.scale_y + geometry.offset_y - geometry.top - 0.5
    to_square = np.array([[geometry.scale_x, geometry.turn_x, first_x], [geometry.turn_y, geometry.scale_y, first_y]])
    warped = cv2.warpAffine(
        shown,
        to_square,
        (len(columns), len(rows)),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        # Not askew, only pixels that the square shows are asked for; askew, there are others among them.
        borderMode=cv2.BORDER_REPLICATE if geometry.quarters == 0 else cv2.BORDER_CONSTANT,
    )
    return np.asarray(warped, np.uint8)
