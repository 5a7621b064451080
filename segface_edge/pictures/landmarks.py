"""The five points of a face that a warp goes by, from more of them, and from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from segface_edge.errors import DataError, UsageError
from segface_edge.files import lines_of, number_in

# Points of a data set -> the five: each is the mean of these. In a file as many lines: 5 are the five themselves, 106
# LaPa's, 68 those of iBUG 300-W, which Helen has.
FIVE: dict[int, tuple[tuple[int, ...], ...]] = {
    5: ((0,), (1,), (2,), (3,), (4,)),
    68: (tuple(range(36, 42)), tuple(range(42, 48)), (30,), (48,), (54,)),
    106: ((74, 104), (83, 105), (54,), (84,), (90,)),
}
_COUNTS = ", ".join(map(str, FIVE))

Points = tuple[tuple[float, float], ...]


def five(points: npt.ArrayLike) -> Points:
    """The five points that SegFace aligns a face with, x and y: the eyes, the one on the picture's left first (the
    subject's right), the nose, the mouth's corners likewise.

    Args:
        points: (5, 2) these, (106, 2) LaPa's or (68, 2) iBUG's, in pixels.

    Raises:
        UsageError: another shape, or points that are not finite, or all in one place.
    """
    values = np.asarray(points, dtype=float)
    if values.ndim != 2 or values.shape[1] != 2 or len(values) not in FIVE:
        raise UsageError(
            f"landmarks of shape {values.shape}", f"are not (N, 2) with N of {_COUNTS}", "give x and y of each point"
        )
    found = np.array(_means(values))
    if not np.isfinite(found).all() or np.ptp(found, axis=0).max() < 1e-3:
        raise UsageError("landmarks", "are not finite, or all in one place", "give where eyes, nose and mouth are")
    return tuple((x, y) for x, y in found.tolist())


def five_of(points: npt.ArrayLike, source: Path) -> Points:
    """The same of a data set's points. Raises DataError, which names `source`."""
    try:
        return five(points)
    except UsageError as error:
        raise DataError(source, f"its {error.subject} {error.problem}", error.cure) from error


def _means(points: npt.NDArray[np.float64]) -> Points:
    return tuple((float(x), float(y)) for x, y in (points[list(members)].mean(0) for members in FIVE[len(points)]))


def faces_of(landmarks: npt.ArrayLike) -> list[Points]:
    """The five points of each face: (P, 2) of one, (N, P, 2) of several, as of `five`. Raises UsageError."""
    values = np.asarray(landmarks, dtype=float)
    if values.ndim == 3:
        return [five(one) for one in values]
    return [five(values)] if values.size else []


def read_landmarks(path: Path, counts: tuple[int, ...] = tuple(FIVE)) -> Points:
    """The five points of a face from a text file: the first line the number of points, then x and y of each (LaPa's
    way); or five lines of x and y alone.

    Args:
        path: the file.
        counts: the numbers of points that it may have.

    Raises:
        DataError: it cannot be read, or is no such file.
    """
    known = " or ".join(map(str, counts))
    cure = f"it takes {known} on the first line, then {known} lines of x and y"
    lines = lines_of(path, cure)
    start = 1
    if 5 in counts and lines and len(lines[0].split()) == 2:
        wanted, start = 5, 0
    else:
        first = lines[0].strip() if lines else ""
        if first not in map(str, counts):
            raise DataError(path, f"line 1 is not {known}", cure)
        wanted = int(first)
    points = []
    for number, line in enumerate(lines[start:], start + 1):
        words = line.split()
        if not words:
            continue
        values = [value for word in words if (value := number_in(word)) is not None]
        if len(values) != 2 or len(words) != 2:
            raise DataError(path, f"line {number} is not x and y", cure)
        points.append((values[0], values[1]))
    if len(points) != wanted:
        raise DataError(path, f"has {len(points)} points", cure)
    return _means(np.array(points))
