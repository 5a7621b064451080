"""Which photos to calibrate int8 on: a few of many, so that every class is among them. Torch-free."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from segface_edge.engines import Engine

from .photos import Faces, photos_of

# Candidates for each photo wanted: more would only take longer.
_CHOICE = 6
# A class of fewer pixels, in shares of the frame, is not shown.
_LEAST = 0.0005


def candidates(folder: Path, count: int, size: int) -> Faces:
    """Of a folder of photos (its `images/` where it has one), those that `count` may be chosen from.

    Raises:
        DataError: no folder, or no pictures in it.
    """
    return photos_of(folder, size, limit=_CHOICE * count)


def chosen(faces: Faces, count: int, engine: Engine, progress: Callable[[int], None] = lambda _: None) -> Faces:
    """Those to calibrate on, `count` at most. The model itself says what they show: they need no labels.

    Args:
        faces: of `candidates`.
        count: how many to take.
        engine: the model in fp32.
        progress: called with the number of photos since the last call.

    Raises:
        ImageError: one cannot be read.
    """
    all_of_them = len(faces) <= count
    shown = []
    for frame in faces:  # all are read: one that cannot be is told of before what takes minutes
        if not all_of_them:
            areas = np.bincount(engine.infer(frame[None]).labels.ravel(), minlength=len(engine.spec.classes))
            shown.append(areas >= _LEAST * frame.shape[0] * frame.shape[1])
        progress(1)
    if all_of_them:
        return faces
    return Faces([faces.held[index] for index in stratified(np.array(shown), count)], faces.size)


def stratified(shown: npt.NDArray[np.bool_], count: int) -> list[int]:
    """Indices of `count` photos: over and over, one more of the class that has the fewest so far.

    Args:
        shown: (photos, classes), which photo shows which class.
        count: how many, no more than there are.

    Returns:
        Indices in rising order.
    """
    left = np.ones(len(shown), np.bool_)
    taken: list[int] = []
    while len(taken) < count:
        have = shown[taken].sum(axis=0)
        open_classes = shown[left].any(axis=0)
        if not open_classes.any():
            taken += np.flatnonzero(left)[: count - len(taken)].tolist()
            break
        # Of classes that have equally few, the rarer one: what it lacks is harder to find.
        rarest = min(np.flatnonzero(open_classes), key=lambda label: (have[label], shown[:, label].sum()))
        index = int(np.flatnonzero(left & shown[:, rarest])[0])
        left[index] = False
        taken.append(index)
    return sorted(taken)
