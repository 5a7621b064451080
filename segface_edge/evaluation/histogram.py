"""One histogram over a whole split, and F1 and IoU from it (SegFace, section 4: no averaging over images)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from segface_edge.errors import UsageError
from segface_edge.labels import IGNORED
from segface_edge.pictures.geometry import UInt8Array


class Histogram:
    """Counts of (truth, prediction) over every pixel seen.

    Args:
        classes: K.

    Attributes:
        counts: (K, K) int64, row truth, column prediction.
    """

    def __init__(self, classes: int) -> None:
        self.counts = np.zeros((classes, classes), np.int64)

    def add(self, truth: UInt8Array, predicted: UInt8Array) -> None:
        """Counts two label maps of equal shape; pixels whose truth is 255 are left out.

        Raises:
            UsageError: shapes differ, or a label is not below K.
        """
        classes = len(self.counts)
        if truth.shape != predicted.shape:
            raise UsageError(f"label maps {truth.shape} and {predicted.shape}", "differ in shape", "resize one of them")
        seen = truth != IGNORED
        truth, predicted = truth[seen], predicted[seen]
        if truth.size and max(int(truth.max()), int(predicted.max())) >= classes:
            raise UsageError("label map", f"has a label of {classes} or more", "name its label order")
        pairs = truth.astype(np.int64) * classes + predicted
        self.counts += np.bincount(pairs, minlength=classes**2).reshape(classes, classes)

    def f1(self) -> npt.NDArray[np.float64]:
        """(K,) F1 = 2 TP / (A + B), A pixels of the class in the truth, B in the prediction; NaN where both are 0."""
        return _ratio(2 * self._hits(), self._sizes())

    def merged_f1(self, classes: Sequence[int]) -> float:
        """F1 of some classes taken for one: which of them it is does not matter; NaN where none occurs."""
        chosen = list(classes)
        hits = int(self.counts[np.ix_(chosen, chosen)].sum())
        size = int(self._sizes()[chosen].sum())
        return 2 * hits / size if size else float("nan")

    def iou(self) -> npt.NDArray[np.float64]:
        """(K,) IoU = TP / (A + B - TP); NaN where the class is in neither."""
        return _ratio(self._hits(), self._sizes() - self._hits())

    def equal(self) -> float:
        """The share of pixels whose labels are equal."""
        total = int(self.counts.sum())
        return float(self._hits().sum()) / total if total else float("nan")

    def _hits(self) -> npt.NDArray[np.int64]:
        return np.diag(self.counts)

    def _sizes(self) -> npt.NDArray[np.int64]:
        sizes: npt.NDArray[np.int64] = self.counts.sum(axis=0) + self.counts.sum(axis=1)
        return sizes


def _ratio(part: npt.NDArray[np.int64], whole: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    ratio: npt.NDArray[np.float64] = np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
    return ratio
