"""Long tails: a part of a labelled set whose classes fall off exponentially.

Shape letters: N samples, M of them taken, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from segface_edge.errors import UsageError


def long_tail_counts(most: int, classes: int, imbalance: float) -> list[int]:
    """n_c = most * imbalance^(-c / (K - 1)), rounded down, 1 at least: exponential, as in CIFAR-LT
    (Cui et al., CVPR 2019, arXiv 1901.05555).

    Raises:
        UsageError: there is nothing to take from, or the imbalance is below 1.
    """
    if most < 1 or classes < 2 or not 1 <= imbalance < float("inf"):
        raise UsageError(
            f"imbalance {imbalance:g} of {classes} classes with {most} pictures",
            "makes no tail",
            "use 1 or more, 50 for example",
        )
    # Not to lose one to rounding: 100 * 10^-2 is 1, not 0.999…
    return [max(1, int(most * imbalance ** (-c / (classes - 1)) + 1e-9)) for c in range(classes)]


def long_tailed(labels: Tensor, imbalance: float, *, seed: int) -> tuple[Tensor, list[int]]:
    """Samples of an exponentially long-tailed part of a labelled array.

    Args:
        labels: (N,) int64 in [0, K); the most frequent class will have as many samples as the rarest has here.
        imbalance: of the most frequent class to the rarest.
        seed: draws which classes are frequent and which samples are taken.

    Returns:
        (M,) int64 indices, and n_c by class.
    """
    generator = torch.Generator().manual_seed(seed)
    sizes = labels.bincount()
    ranks = torch.randperm(len(sizes), generator=generator).tolist()
    counts = long_tail_counts(int(sizes.min()), len(sizes), imbalance)
    by_class = [counts[rank] for rank in ranks]
    taken = []
    for label, count in enumerate(by_class):
        here = (labels == label).nonzero()[:, 0]
        taken.append(here[torch.randperm(len(here), generator=generator)[:count]])
    return torch.cat(taken), by_class
