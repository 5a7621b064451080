"""Subclass-balancing contrastive learning (SBCL: Hou et al., ICCV 2023, arXiv 2306.15925): the losses.

A head class is split into subclasses about as large as the tail's classes (`subclasses.py`). The loss draws a sample to
its own subclass first, to the rest of its class second.

Shape letters: B samples with two views each, D width. For an anchor i among the 2 B views and s = z_i z_p:

    A  all views but i
    S  those of its subclass but i (its other view belongs to it)
    C  those of its class but i
    P  those of its class in other subclasses, and its other view
    R  all that are not in its subclass, and its other view
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from segface_edge.errors import UsageError

TEMPERATURE = 0.1


class SubclassBalancedContrastiveLoss(nn.Module):
    """The loss of a batch, a mean over all anchors.

    Static form, and the dynamic one with a temperature t(y) for every class (`subclasses.class_temperatures`):

        static:   -(t / t0) mean_S log(e^(s / t) / sum_A e^(s / t)) - w mean_C log(e^(s / t) / sum_A e^(s / t))
        dynamic:  -(t / t0) mean_S log(e^(s / t) / sum_A e^(s / t)) - w mean_P log(e^(s / t(y)) / sum_R e^(s / t(y)))

    Args:
        temperature: t.
        base_temperature: t0.
        class_weight: w, of the class against the subclass.

    Raises:
        UsageError: a number is not finite and positive (w: not negative).
    """

    def __init__(
        self, *, temperature: float = TEMPERATURE, base_temperature: float = 0.07, class_weight: float = 0.25
    ) -> None:
        super().__init__()
        for name, value in (("temperature", temperature), ("base_temperature", base_temperature)):
            if not 0 < value < math.inf:
                raise UsageError(f"{name} {value!r}", "is not a positive number", "give one, 0.1 for example")
        if not 0 <= class_weight < math.inf:
            raise UsageError(f"class_weight {class_weight!r}", "is not a number >= 0", "give one, 0.25 for example")
        self.temperature = temperature
        self.base_temperature = base_temperature
        self.class_weight = class_weight

    def forward(
        self, features: Tensor, labels: Tensor, subclasses: Tensor, class_temperatures: Tensor | None = None
    ) -> Tensor:
        """The loss, a scalar in fp32 (fp64 for such features).

        Args:
            features: (B, 2, D) float, unit vectors: two views of each sample.
            labels: (B,) integer class of each sample.
            subclasses: (B,) integer subclass. Only those of one class are compared: ids may repeat between classes.
            class_temperatures: (K,) float > 0, t(y) by class, labels being 0 to K - 1; None: the static form.

        Raises:
            UsageError: shapes do not fit.
        """
        views = _Views.of(features, labels)
        if subclasses.shape != labels.shape:
            raise UsageError(f"subclasses of shape {tuple(subclasses.shape)}", "are not one a sample", "give (B,)")
        groups = _Groups.of(_pairs(labels, subclasses), views.z)
        log_all = views.log_sum_over_others(self.temperature)
        near = (groups.similarity_sum - views.own) / (groups.size - 1)
        loss = -(self.temperature / self.base_temperature) * (near / self.temperature - log_all)
        if class_temperatures is None:
            far = (views.classes.similarity_sum - views.own) / (views.classes.size - 1)
            rest = far / self.temperature - log_all
        else:
            t = class_temperatures.to(views.z)[torch.cat([labels, labels])]
            total = views.classes.similarity_sum - groups.similarity_sum + views.other
            far = total / (views.classes.size - groups.size + 1)
            rest = far / t - views.log_sum_outside(groups, t)
        return (loss - self.class_weight * rest).mean()


def supervised_contrastive_loss(features: Tensor, labels: Tensor, *, temperature: float = TEMPERATURE) -> Tensor:
    """-mean_C log(e^(s / t) / sum_A e^(s / t)), a mean over all anchors (SupCon: Khosla et al., NeurIPS 2020,
    arXiv 2004.11362): the warm-up.

    Args:
        features: (B, 2, D) float, unit vectors: two views of each sample.
        labels: (B,) integer class of each sample.
        temperature: t.

    Raises:
        UsageError: shapes do not fit.
    """
    views = _Views.of(features, labels)
    mean = (views.classes.similarity_sum - views.own) / (views.classes.size - 1)
    return (views.log_sum_over_others(temperature) - mean / temperature).mean()


def _pairs(labels: Tensor, subclasses: Tensor) -> Tensor:
    """(B,): one id a pair of class and subclass."""
    from_zero = subclasses - subclasses.min()
    return labels * (from_zero.max() + 1) + from_zero


@dataclass(frozen=True)
class _Groups:
    """Views by group. A positive's term needs no similarity by itself: their sum is a product with the group's sum.

    Attributes:
        member: (2 B,) the group of each view, from 0.
        size: (2 B,) views in each view's group.
        similarity_sum: (2 B,) sum of the similarities to all of the group, itself too.
    """

    member: Tensor
    size: Tensor
    similarity_sum: Tensor

    @classmethod
    def of(cls, ids: Tensor, z: Tensor) -> _Groups:
        _, member, sizes = torch.unique(torch.cat([ids, ids]), return_inverse=True, return_counts=True)
        sums = z.new_zeros(len(sizes), z.shape[1]).index_add(0, member, z)
        return cls(member=member, size=sizes[member].to(z), similarity_sum=(z * sums[member]).sum(1))


@dataclass(frozen=True)
class _Views:
    """All views of a batch: first those of one side, then those of the other."""

    z: Tensor  # (2 B, D)
    classes: _Groups

    @classmethod
    def of(cls, features: Tensor, labels: Tensor) -> _Views:
        if features.ndim != 3 or features.shape[1] != 2 or labels.shape != features.shape[:1] or not len(labels):
            raise UsageError(
                f"features of shape {tuple(features.shape)} and labels of shape {tuple(labels.shape)}",
                "are not (B, 2, D) and (B,)",
                "give two views of each sample, and one sample or more",
            )
        if features.dtype in (torch.float16, torch.bfloat16):
            features = features.float()
        z = features.transpose(0, 1).flatten(0, 1)
        return cls(z=z, classes=_Groups.of(labels, z))

    @cached_property
    def similarities(self) -> Tensor:
        """(2 B, 2 B), -inf of a view with itself."""
        return (self.z @ self.z.T).fill_diagonal_(-math.inf)

    @cached_property
    def own(self) -> Tensor:
        """(2 B,) similarity with itself."""
        return (self.z * self.z).sum(1)

    @cached_property
    def other(self) -> Tensor:
        """(2 B,) similarity with the sample's other view."""
        one, two = self.z.chunk(2)
        return (one * two).sum(1).repeat(2)

    def log_sum_over_others(self, temperature: float) -> Tensor:
        """(2 B,) log sum_A e^(s / t)."""
        return (self.similarities / temperature).logsumexp(1)

    def log_sum_outside(self, groups: _Groups, temperatures: Tensor) -> Tensor:
        """(2 B,) log sum_R e^(s / t(y))."""
        inside = groups.member[:, None] == groups.member
        scaled = (self.similarities / temperatures[:, None]).masked_fill(inside, -math.inf)
        # The other view is in the subclass and yet counts: it makes the sum finite where nothing else is outside.
        return torch.cat([scaled, (self.other / temperatures)[:, None]], dim=1).logsumexp(1)
