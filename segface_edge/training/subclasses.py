"""Which subclass a sample belongs to, how hot its class is, and when both are found anew (SBCL, arXiv 2306.15925).

Shape letters: N samples, D width, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.distributed as dist
from torch import Tensor

from segface_edge.errors import UsageError

from .clustering import cluster
from .processes import several
from .sbcl import TEMPERATURE

TemperatureForm = Literal["linear", "exponential"]
SplitMethod = Literal["balanced", "kmeans"]


@dataclass(frozen=True, kw_only=True)
class SubclassSchedule:
    """When a training uses which loss, in epochs (or any other unit of time).

    Attributes:
        warmup: so long plain supervised contrastive loss, without subclasses.
        every: from then on, subclasses and temperatures are found anew this often.
    """

    warmup: int = 10
    every: int = 10

    def __post_init__(self) -> None:
        if self.warmup < 0 or self.every < 1:
            raise UsageError(
                f"warmup {self.warmup}, every {self.every}", "is no schedule", "use 0 or more, and 1 or more"
            )

    def warms_up(self, epoch: int) -> bool:
        """Whether epoch `epoch`, from 0, has no subclasses yet."""
        return epoch < self.warmup

    def is_due(self, epoch: int) -> bool:
        """Whether subclasses are found anew before epoch `epoch`."""
        return epoch >= self.warmup and (epoch - self.warmup) % self.every == 0


def subclass_counts(counts: Sequence[int], smallest: int = 10) -> list[int]:
    """K_c = max(1, n_c // M) with M = max(min_c n_c, smallest): how many subclasses each class gets.

    Args:
        counts: n_c, samples of each class; a class without any is left out of the minimum and gets one.
        smallest: delta, below which no subclass's size goes.

    Raises:
        UsageError: a count is negative, or `smallest` below 1.
    """
    if smallest < 1 or any(count < 0 for count in counts):
        raise UsageError(
            f"counts {list(counts)}, smallest {smallest}", "cannot be", "use counts >= 0, a smallest size >= 1"
        )
    size = max(min((count for count in counts if count), default=smallest), smallest)
    return [max(1, count // size) for count in counts]


def find_subclasses(
    features: Tensor, labels: Tensor, split: Sequence[int], *, seed: int, method: SplitMethod = "balanced"
) -> Tensor:
    """(N,) int64 the subclass of each sample: ids run from 0 over the classes, those of one class in a row.

    Several processes: every one must hold the same features; the first one's answer is everyone's.

    Args:
        features: (N, D) float, embeddings of all samples, in any order of classes.
        labels: (N,) int64 in [0, K).
        split: K_c, subclasses of each class (`subclass_counts`); a class with fewer samples gets one a sample.
        seed: of the clustering.
        method: `balanced`: sizes within a class differ by one at most; `kmeans`: they are as they fall.

    Raises:
        UsageError: shapes do not fit, or a label is not below K.
    """
    if method not in get_args(SplitMethod):
        raise UsageError(f"method {method!r}", "is unknown", f"use one of {', '.join(get_args(SplitMethod))}")
    _check(features, labels, split)
    found = torch.zeros_like(labels)
    first = 0
    for label, parts in enumerate(split):
        here = (labels == label).nonzero()[:, 0]
        parts = min(parts, len(here))
        if parts > 1:
            # Another seed for each class: one start would choose alike in classes of one size.
            clustering = cluster(features[here], parts, balanced=method == "balanced", seed=seed * len(split) + label)
            found[here] = first + clustering.members
        else:
            found[here] = first
        first += max(parts, 1)
    if several():
        # Sums in another order may turn a tie: ids must not differ between processes.
        dist.broadcast(found, 0)
    return found


def _check(features: Tensor, labels: Tensor, split: Sequence[int]) -> None:
    if features.ndim != 2 or labels.shape != features.shape[:1]:
        raise UsageError(
            f"features of shape {tuple(features.shape)} and labels of shape {tuple(labels.shape)}",
            "are not (N, D) and (N,)",
            "give one embedding and one label a sample",
        )
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(split):
        raise UsageError(
            "labels", f"are not all in 0 to {len(split) - 1}", "give a number of subclasses for each class"
        )


def class_temperatures(
    features: Tensor,
    labels: Tensor,
    split: Sequence[int],
    *,
    temperature: float = TEMPERATURE,
    form: TemperatureForm = "linear",
) -> Tensor:
    """(K,) float, t(c): the wider a class spreads, the hotter.

    phi(c) = mean ||z - mean z|| / ln(n_c + 10), clipped to its 20th and 80th percentile over the classes;
    `linear` (the released code): t phi(c) / mean phi; `exponential` (the paper): t exp(phi(c) / mean phi), above t.
    Classes of one subclass, or of fewer than two samples, keep t: a sample alone has no spread.

    Args:
        features: (N, D) float, unit vectors.
        labels: (N,) int64 in [0, K).
        split: K_c, subclasses of each class.
        temperature: t.
        form: `linear` or `exponential`.

    Raises:
        UsageError: unknown form, or shapes and labels do not fit.
    """
    if form not in get_args(TemperatureForm):
        raise UsageError(f"form {form!r}", "is unknown", f"use one of {', '.join(get_args(TemperatureForm))}")
    _check(features, labels, split)
    k = len(split)
    features = features.detach().double()
    counts = labels.bincount(minlength=k).double()
    means = features.new_zeros(k, features.shape[1]).index_add(0, labels, features) / counts.clamp(min=1)[:, None]
    distances = torch.linalg.vector_norm(features - means[labels], dim=1)
    spread = counts.new_zeros(k).index_add(0, labels, distances) / counts.clamp(min=1) / (counts + 10).log()
    present = counts > 1
    result = torch.full((k,), temperature, dtype=torch.float64, device=features.device)
    if bool(present.any()):
        low, high = spread[present].quantile(spread.new_tensor([0.2, 0.8])).tolist()
        spread = spread.clamp(low, high)
        mean = float(spread[present].mean())
        split_here = present & (torch.tensor(list(split), device=features.device) > 1)
        # Without any spread all classes are alike, and t is everyone's.
        if mean > 0 and math.isfinite(mean):
            relative = spread[split_here] / mean
            result[split_here] = temperature * (relative if form == "linear" else relative.exp())
    return result.float()
