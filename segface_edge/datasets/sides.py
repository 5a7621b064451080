"""Left and right exchanged in label maps."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from segface_edge.labels import LabelSet
from segface_edge.pictures.geometry import UInt8Array

from .counts import split_name
from .findings import Finding
from .opening import DataSet

# What tells up from down, whatever the roll of the head: these lie below the brows and eyes.
_BELOW = ("nose", "mouth", "u_lip", "l_lip")
_ABOVE = ("brow", "eye")


def wrong_sides(labels: UInt8Array, order: LabelSet) -> tuple[int, int]:
    """How many left/right pairs of a label map, (H, W) uint8 ids in `order`, show, and how many of them look swapped.

    The subject's left lies to the picture's right. Right is taken from the face itself, at a right angle to the way
    from brows and eyes down to nose and mouth, so that a head that lies or stands upside down is not taken for one
    with its sides swapped.
    """
    above = [index for index, name in enumerate(order.classes) if name.partition("_")[2] in _ABOVE]
    below = [index for index, name in enumerate(order.classes) if name in _BELOW]
    wanted = {*above, *below, *(index for pair in order.pairs for index in pair)}
    centres: dict[int, npt.NDArray[np.float64]] = {}
    for index in wanted:
        moments = cv2.moments(np.equal(labels, index).view(np.uint8), binaryImage=True)
        if moments["m00"]:
            centres[index] = np.array([moments["m10"], moments["m01"]]) / moments["m00"]
    pairs = [pair for pair in order.pairs if pair[0] in centres and pair[1] in centres]
    high, low = ([centres[index] for index in side if index in centres] for side in (above, below))
    down = np.mean(low, axis=0) - np.mean(high, axis=0) if high and low else np.array([0.0, 1.0])
    right = np.array([down[1], -down[0]])
    return len(pairs), sum(bool((centres[left] - centres[other]) @ right < 0) for left, other in pairs)


def swapped_sides(dataset: DataSet, sides: Sequence[tuple[int, int]]) -> list[Finding]:
    """Label maps of a split that look swapped; where most do, one finding of kind `reversed` instead.

    Args:
        dataset: the split.
        sides: of each of its samples, what `wrong_sides` says; (0, 0) where its label map cannot be read.
    """
    swapped = [
        (sample, (pairs, wrong))
        for sample, (pairs, wrong) in zip(dataset.samples, sides, strict=True)
        if 2 * wrong > pairs
    ]
    judged = sum(pairs > 0 for pairs, _ in sides)
    if 2 * len(swapped) > judged:
        return [
            Finding(
                kind="reversed",
                split=split_name(dataset),
                file=dataset.root,
                problem=f"has left and right swapped in {len(swapped)} of {judged} label maps",
                cure=f"left is the subject's left: exchange l_ and r_ ids, or name another order than "
                f"'{dataset.order.name}'",
            )
        ]
    return [
        Finding(
            kind="swapped",
            split=split_name(dataset),
            file=sample.labels,
            problem=f"has {wrong} of {pairs} left/right pairs the wrong way round",
            cure="left is the subject's left, mostly the picture's right: look at it, and exchange its l_ and r_ ids",
        )
        for sample, (pairs, wrong) in swapped
    ]
