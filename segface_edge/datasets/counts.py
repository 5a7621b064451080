"""How many label maps of a split show each class, and how many pixels of it there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segface_edge.labels import IGNORED

from .opening import DataSet

Counts = npt.NDArray[np.int64]
WHOLE = "all"


@dataclass(frozen=True, kw_only=True)
class SplitCounts:
    """What a split holds; label maps that cannot be read are not counted.

    Attributes:
        name: `train`, `val`, `test`; `all` for a set that is not divided.
        pairs: photos with a label map.
        images: (K,) int64, label maps that show a class.
        pixels: (K,) int64.
        ignored: pixels of the id 255.
    """

    name: str
    pairs: int
    images: Counts
    pixels: Counts
    ignored: int


def split_name(dataset: DataSet) -> str:
    """`train`, `val`, `test`; `all` for a set that is not divided."""
    return dataset.split or WHOLE


def count_split(dataset: DataSet, maps: Sequence[Counts]) -> SplitCounts:
    """Counts a split.

    Args:
        dataset: the split.
        maps: (256,) int64 each, pixels of each id in a label map; those of maps that cannot be read are left out.
    """
    classes = len(dataset.order)
    pixels = np.array(maps, np.int64).reshape(-1, 256)
    return SplitCounts(
        name=split_name(dataset),
        pairs=len(dataset.samples),
        images=(pixels[:, :classes] > 0).sum(axis=0),
        pixels=pixels[:, :classes].sum(axis=0),
        ignored=int(pixels[:, IGNORED].sum()) if classes <= IGNORED else 0,
    )
