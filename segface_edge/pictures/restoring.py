"""Label maps and confidence, brought back from the network's square to the photo: the only post-processing."""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np

from .geometry import Geometry, UInt8Array
from .sampling import Places, places, sample

# Standard deviation, in square pixels, of the smoothing of masks that are enlarged.
SMOOTHING = 0.6
# The photo is gone through in parts of so many rows and columns: many show one class alone.
_PART = 384


def restore(labels: UInt8Array, geometry: Geometry, height: int, width: int) -> UInt8Array:
    """A label map of the network's square in the photo's pixels, with smooth edges.

    Each class's mask is interpolated bilinearly at the photo's pixel centres, and the largest wins (the lowest label
    of equals). A mask is warped only where its class is, and in 8 bits: weights that differ by less than 1/255 may
    count as equal. Places are rounded to 1/32 of a square pixel.

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
    masks = _Masks(shown, geometry)
    for window, x, y in _parts(columns, rows):
        reach, all_of_it = _seen(shown, geometry, x, y)
        seen = np.flatnonzero(cv2.calcHist([shown[reach]], [0], None, [256], [0, 256])).tolist()
        if len(seen) == 1 and all_of_it:
            target[window] = seen[0]
        elif seen:
            masks.largest_into(target[window], seen, reach, x, y)
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
    target = np.zeros((len(rows), len(columns)), np.uint8)
    for window, x, y in _parts(columns, rows):
        target[window] = _sample(shown, _places(geometry, x, y), geometry)
    return rows, columns, target


def _parts(columns: range, rows: range) -> Iterator[tuple[tuple[slice, slice], range, range]]:
    """Parts of the photo: where each is in the whole, its columns and its rows."""
    for top in range(0, len(rows), _PART):
        for left in range(0, len(columns), _PART):
            window = np.s_[top : top + _PART, left : left + _PART]
            yield window, columns[window[1]], rows[window[0]]


def _seen(shown: UInt8Array, geometry: Geometry, columns: range, rows: range) -> tuple[tuple[slice, slice], bool]:
    """What of the square may decide on a part of the photo; False: a part of it shows nothing of the square."""
    first_x, last_x, first_y, last_y = (at + 0.5 for at in (columns[0], columns[-1], rows[0], rows[-1]))
    corners = [
        (
            x * geometry.scale_x + y * geometry.turn_x + geometry.offset_x - geometry.left,
            x * geometry.turn_y + y * geometry.scale_y + geometry.offset_y - geometry.top,
        )
        for x in (first_x, last_x)
        for y in (first_y, last_y)
    ]
    (left, right), (top, bottom) = ((min(values), max(values)) for values in zip(*corners, strict=True))
    # A pixel is interpolated from its neighbours, and they are smoothed with theirs.
    reach = np.s_[max(0, int(top) - 2) : max(0, int(bottom) + 3), max(0, int(left) - 2) : max(0, int(right) + 3)]
    height, width = shown.shape
    return reach, geometry.quarters == 0 or (left >= 1 and top >= 1 and right <= width - 1 and bottom <= height - 1)


class _Masks:
    """Masks of the classes of a label map, made when they are asked for.

    Args:
        shown: the shown part of the square.
        geometry: from `fit`.
    """

    def __init__(self, shown: UInt8Array, geometry: Geometry) -> None:
        self._shown, self._geometry = shown, geometry
        self._masks: dict[int, UInt8Array] = {}

    def __getitem__(self, label: int) -> UInt8Array:
        if label not in self._masks:
            mask = np.asarray(cv2.inRange(self._shown, label, label), np.uint8)
            if self._geometry.enlarges:
                cv2.GaussianBlur(mask, (3, 3), SMOOTHING, dst=mask, borderType=cv2.BORDER_REPLICATE)
            self._masks[label] = mask
        return self._masks[label]

    def largest_into(
        self, target: UInt8Array, labels: list[int], reach: tuple[slice, slice], columns: range, rows: range
    ) -> None:
        """A part of the photo: the label of the largest mask at each pixel, the first of equals.

        Args:
            target: (rows, columns), written to.
            labels: those that may be there.
            reach: the part of `shown` that decides on it.
            columns, rows: of the photo.
        """
        geometry, where, largest = self._geometry, _places(self._geometry, columns, rows), np.zeros_like(target)
        for label in labels:
            mask = self[label]
            # Not cv2.boundingRect, which is wrong for 2 and 3 columns before OpenCV 4.10.
            across, down = (np.flatnonzero(mask[reach].max(axis)) for axis in (0, 1))
            # A mask reaches one square pixel beyond its last.
            left, top = geometry.left + reach[1].start + across[0] - 1, geometry.top + reach[0].start + down[0] - 1
            box = (left, top, across[-1] - across[0] + 3, down[-1] - down[0] + 3)
            x, y = _reached(geometry, box, columns, rows)
            if not len(x) or not len(y):
                continue
            window = np.s_[y.start - rows.start : y.stop - rows.start, x.start - columns.start : x.stop - columns.start]
            warped = _sample(mask, where[window], geometry)
            wins = cv2.compare(warped, largest[window], cv2.CMP_GT)
            cv2.copyTo(warped, wins, largest[window])
            np.copyto(target[window], np.uint8(label), where=wins != 0)


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


def _places(geometry: Geometry, columns: range, rows: range) -> Places:
    """Where the centres of the photo's pixels lie in the shown part of the square."""
    to_square = np.array(
        [
            [geometry.scale_x, geometry.turn_x, geometry.offset_x - geometry.left],
            [geometry.turn_y, geometry.scale_y, geometry.offset_y - geometry.top],
        ]
    )
    to_square[:, 2] += to_square[:, :2] @ (0.5, 0.5) - 0.5
    return places(to_square, columns, rows)


def _sample(shown: UInt8Array, where: Places, geometry: Geometry) -> UInt8Array:
    # Not askew, only pixels that the square shows are asked for; askew, there are others among them.
    return sample(shown, where, outside=None if geometry.quarters == 0 else (0,))
