"""A label map as COCO's masks: a run-length encoding of each class, compressed to text as COCO's tools read it."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from segface_edge.pictures.geometry import UInt8Array

Counts = npt.NDArray[np.int64]
# Of a number's bits so many are in a letter; no count has more letters.
_BITS, _MOST_LETTERS = 5, 8
_FIRST_LETTER = 48


def masks_of(labels: UInt8Array) -> Iterator[tuple[int, int, str]]:
    """The label, the pixels and the compressed runs of each class that is there, background left out.

    The runs are COCO's `counts` of `"size": [height, width]`: down the columns, those of other classes first. All
    classes are found in one pass over the pixels, which as many passes of `pycocotools.mask.encode` would take.

    Args:
        labels: (H, W) uint8.
    """
    flat = cv2.transpose(labels).reshape(-1)
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    lengths = np.diff(starts, append=flat.size)
    values = flat[starts]
    for label in np.unique(values[values > 0]).tolist():
        mine = np.flatnonzero(values == label)
        first, ends = starts[mine], starts[mine] + lengths[mine]
        counts = np.empty(2 * mine.size, np.int64)
        counts[0::2] = first - np.concatenate([[0], ends[:-1]])
        counts[1::2] = lengths[mine]
        rest = flat.size - int(ends[-1])
        yield label, int(counts[1::2].sum()), compressed(np.append(counts, rest) if rest else counts)


def compressed(counts: Counts) -> str:
    """Counts as COCO's text (`rleToString` of maskApi.c): from the fourth on by their difference to the one before the
    last, in letters of five bits with a sixth that says whether more follow."""
    numbers = counts.astype(np.int64)
    numbers[3:] -= counts[1:-2]
    shifted = numbers[:, None] >> (_BITS * np.arange(_MOST_LETTERS))  # keeps the sign
    letters = shifted & 0x1F
    # A number ends where nothing but its sign is left, and its last letter's highest bit is that sign.
    ends = np.where(letters & 0x10, (shifted >> _BITS) == -1, (shifted >> _BITS) == 0)
    last = ends.argmax(1)
    column = np.arange(_MOST_LETTERS)
    letters = letters | np.where(column < last[:, None], 0x20, 0)
    kept: bytes = (letters[column <= last[:, None]] + _FIRST_LETTER).astype(np.uint8).tobytes()
    return kept.decode("ascii")
