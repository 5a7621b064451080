"""Label maps and confidence, brought back from the network's square to the photo: the only post-processing."""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from .geometry import Geometry, UInt8Array
from .sampling import grid, largest, left_above, places, sample

# Standard deviation, in square pixels, of the smoothing of masks that are enlarged.
SMOOTHING = 0.6
# The photo is gone through in parts of so many rows and columns: many show one class alone.
_PART = 384
# No label, or the last of 256: masks decide.
_OPEN = 255
# Places that are sampled at once: OpenCV wants fewer than 32767 a side.
_AT_ONCE = 16384


def restore(labels: UInt8Array, geometry: Geometry, height: int, width: int) -> UInt8Array:
    """A label map of the network's square in the photo's pixels, with smooth edges.

    Each class's mask is interpolated bilinearly at the photo's pixel centres, and the largest wins (the lowest label
    of equals). That is done only where classes meet, and in 8 bits: weights that differ by less than 1/255 may count as
    equal. Places are rounded to 1/32 of a square pixel.

    Where the photo is larger than the square, masks are smoothed first: bilinear weights of a hard mask alone give
    back its blocks (at twice the size they equal nearest-neighbour). The width is the one that serves thin classes
    best; `benchmarks/restore.py` measures it.

    Args:
        labels: (S, S) uint8.
        geometry: from `fit`.
        height, width: of the photo, in pixels.

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
    masks, decided, outside = _Masks(shown, geometry), _decided(shown, geometry), _outside(geometry)
    for window, x, y in _parts(columns, rows):
        reach, all_of_it = _seen(shown, geometry, x, y)
        seen = np.flatnonzero(cv2.calcHist([shown[reach]], [0], None, [256], [0, 256])).tolist()
        if len(seen) == 1 and all_of_it:
            target[window] = seen[0]
        elif seen:
            where = (places if geometry.quarters is None else grid)(_to_square(geometry), x, y)
            part = left_above(decided, where, outside=_OPEN)
            open_ones = np.flatnonzero(part == _OPEN)
            for start in range(0, len(open_ones), _AT_ONCE):
                some = open_ones[start : start + _AT_ONCE]
                candidates = ((label, masks[label]) for label in seen)
                part.ravel()[some] = largest(candidates, where.only(some), outside=outside).ravel()
            target[window] = part
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
        target[window] = sample(shown, places(_to_square(geometry), x, y), outside=_outside(geometry))
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


def _decided(shown: UInt8Array, geometry: Geometry) -> UInt8Array:
    """What a photo's pixel is that lies between a pixel of the square and its neighbours to the right and below: the
    label, or `_OPEN` where masks must decide. No mask but one is seen there, which smoothing leaves as it is."""
    around = np.ones((3, 3), np.uint8)
    mixed = cv2.compare(cv2.dilate(shown, around), cv2.erode(shown, around), cv2.CMP_NE)
    mixed = cv2.dilate(mixed, np.ones((2, 2), np.uint8), anchor=(0, 0))
    if geometry.quarters is None:
        mixed[-1], mixed[:, -1] = _OPEN, _OPEN  # beyond is no part of the square
    return np.asarray(cv2.bitwise_or(shown, mixed), np.uint8)


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
                there = np.flatnonzero(mask.max(1))
                rows = mask[max(there[0] - 1, 0) : there[-1] + 2]  # the smoothing reaches no further
                rows[:] = cv2.GaussianBlur(rows, (3, 3), SMOOTHING, borderType=cv2.BORDER_REPLICATE)
            self._masks[label] = mask
        return self._masks[label]


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


def _to_square(geometry: Geometry) -> npt.NDArray[np.float64]:
    """(2, 3): the way from the photo to the shown part of the square, pixel i's centre being i in both."""
    to_square = np.array(
        [
            [geometry.scale_x, geometry.turn_x, geometry.offset_x - geometry.left],
            [geometry.turn_y, geometry.scale_y, geometry.offset_y - geometry.top],
        ]
    )
    to_square[:, 2] += to_square[:, :2] @ (0.5, 0.5) - 0.5
    return to_square


def _outside(geometry: Geometry) -> tuple[int, ...] | None:
    """Not askew, only pixels that the square shows are asked for; askew, there are others among them."""
    return None if geometry.quarters == 0 else (0,)
