"""An evaluation of random counts."""

from __future__ import annotations

import numpy as np

from segface_edge.evaluation.evaluate import Evaluation
from segface_edge.evaluation.histogram import Histogram
from segface_edge.labels import LabelSet, label_set

LAPA = label_set("lapa")


def evaluation(order: LabelSet = LAPA, *, seed: int = 0, empty: tuple[int, ...] = (), model: str = "m") -> Evaluation:
    """Random counts, mostly right; nothing of the classes `empty`."""
    histogram = Histogram(len(order))
    histogram.counts += np.random.default_rng(seed).integers(0, 100, histogram.counts.shape)
    histogram.counts += 1000 * np.eye(len(order), dtype=np.int64)
    histogram.counts[list(empty)] = histogram.counts[:, list(empty)] = 0
    return Evaluation(model=model, protocol="paper", size=256, images=3, order=order, histogram=histogram)
