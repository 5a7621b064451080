"""What training minimises: SegFace's 0.5 cross-entropy + 0.5 Dice, and the parts that a recipe may add.

Shape letters: N batch, K classes, S side, P = N * S * S pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from segface_edge.errors import UsageError
from segface_edge.labels import IGNORED, LabelSet

from .processes import several

# Dice's smoothing, as in SegFace's own code.
SMOOTH = 1e-5


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """The recipe's [loss]: the weight of each part (0: not computed) and what shapes it.

    Attributes:
        ce: weight of the cross-entropy, mean over the pixels with a truth.
        class_weights: {class: how often its pixels count in the cross-entropy}, 1 where a class is not named. For a
            class so rare that the network does best to rule it out.
        dice: weight of Dice (see `SegmentationLoss`).
        lovasz: weight of Lovasz-softmax over the classes present (Berman et al., CVPR 2018, arXiv 1705.08790).
        focal_gamma: the cross-entropy becomes -(1 - p)^gamma log p (Lin et al., arXiv 1708.02002); 0 leaves it.
        logit_adjustment: tau of Menon et al. (arXiv 2007.07314): the cross-entropy sees logits + tau * log prior.
            Logits as the network gives them then favour rare classes; nothing changes when the model is used.
        distillation: weight of KL(teacher || student) * T^2, mean over pixels (Hinton et al., arXiv 1503.02531).
        temperature: T of the distillation.

    Raises:
        UsageError: a value is not a finite number >= 0, T is 0, or no part has a weight.
    """

    ce: float = 0.5
    dice: float = 0.5
    lovasz: float = 0.0
    focal_gamma: float = 0.0
    logit_adjustment: float = 0.0
    distillation: float = 0.0
    temperature: float = 2.0
    class_weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        numbers = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "class_weights"}
        numbers.update({f"class_weights.{name}": value for name, value in self.class_weights.items()})
        for name, value in numbers.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise UsageError(f"loss.{name} {value!r}", "is not a finite number >= 0", "give one")
        if self.temperature == 0:
            raise UsageError("loss.temperature 0", "divides the logits by zero", "give a number > 0, 2.0 for example")
        if self.ce == self.dice == self.lovasz == self.distillation == 0:
            raise UsageError("loss", "has no part with a weight > 0", "set ce, dice, lovasz or distillation")


class SegmentationLoss(nn.Module):
    """The weighted sum of the parts that `config` names.

    Dice, as SegFace's code has it (arXiv 2412.08647): with softmax p and one-hot truth g, sums over all pixels of the
    batch that have a truth, 1 - (2 sum(p g) + s) / (sum(p^2) + sum(g^2) + s) per class with s = 1e-5; the mean over
    all K classes, background and absent ones counted.

    Several processes: cross-entropy, Dice and distillation are functions of sums over pixels (numerators and counts),
    and those are added up over all processes, with gradient. Every rank so computes the same loss L of the whole
    batch. The backward pass adds up the W ranks' equal gradients, giving W * dL/dsum at each rank's own sum, and
    DistributedDataParallel's mean over ranks divides by W: parameters get the gradient that one process would compute
    on the whole batch, however the pixels with a truth are spread. Every rank must call forward and backward equally
    often. Lovasz-softmax sorts pixels and is no function of sums: each rank computes it on its own part of the batch,
    and DDP's mean gives the plain mean of the ranks' losses.
    """

    log_prior: Tensor | None
    class_weights: Tensor | None

    def __init__(self, config: LossConfig, order: LabelSet, log_prior: Tensor | None = None) -> None:
        """Keeps the prior and the weights of the classes.

        Args:
            config: the parts.
            order: the K classes of the logits.
            log_prior: (K,) float, log of each class's share of the pixels; needed where config.logit_adjustment > 0.

        Raises:
            UsageError: the prior is missing, or is not K finite numbers; a weight is for a class that is none.
        """
        super().__init__()
        if config.logit_adjustment and log_prior is None:
            raise UsageError(
                "loss.logit_adjustment", "needs the log prior of the classes", "count them, or set it to 0"
            )
        classes = len(order)
        if log_prior is not None and (log_prior.shape != (classes,) or not bool(log_prior.isfinite().all())):
            raise UsageError("log prior", f"is not {classes} finite numbers", "count absent classes as one pixel")
        self.config = config
        self.classes = classes
        self.register_buffer("log_prior", log_prior, persistent=False)
        weights = torch.ones(classes) if config.class_weights else None
        for name, weight in config.class_weights.items():
            cast(Tensor, weights)[order.index(name)] = weight
        self.register_buffer("class_weights", weights, persistent=False)

    def forward(
        self, logits: Tensor, labels: Tensor, teacher: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch.

        Args:
            logits: (N, K, S, S), any float type; below fp32 they are raised to fp32 first.
            labels: (N, S, S) uint8 or int64 in [0, K), or 255 where there is no truth: such pixels count in the
                distillation only, where the teacher stands in for the truth.
            teacher: (N, K, S, S) logits of the teacher, any float type, no gradient; used where it has a weight.

        Returns:
            The total, a scalar, and its parts before weighting, detached, by name: `ce`, `dice`, `lovasz`,
            `distillation`, those with a weight. Without a pixel that counts a part is 0, and its gradient too.

        Raises:
            UsageError: distillation has a weight and there is no teacher, or shapes do not fit.
        """
        self._check(logits, labels, teacher)
        config = self.config
        if logits.dtype in (torch.float16, torch.bfloat16):
            logits = logits.float()
        valid = labels != IGNORED
        truth = labels.long() * valid  # (N, S, S), 0 where ignored: an index in any case
        sums: dict[str, Tensor] = {}
        if config.dice or (config.ce and not config.logit_adjustment):
            log_p, squares = _truth_and_squares(logits, truth, valid)  # (N, S, S), (K,)
        if config.ce:
            counted: Tensor = valid if self.class_weights is None else self.class_weights.to(logits)[truth] * valid
            if config.logit_adjustment:
                shift = config.logit_adjustment * cast(Tensor, self.log_prior).to(logits)
                adjusted = (logits + shift[:, None, None]).log_softmax(1)
                sums["ce"] = self._cross_entropy(adjusted.gather(1, truth[:, None])[:, 0], counted)
            else:
                sums["ce"] = self._cross_entropy(log_p, counted)
            sums["pixels"] = counted.sum().to(logits)[None]
        if config.dice:
            where, p = truth.flatten(), log_p.exp() * valid
            zeros = logits.new_zeros(self.classes)
            sums["overlap"] = zeros.index_add(0, where, p.flatten())
            # p^2 and g^2: with one-hot g the latter counts pixels.
            sums["size"] = squares + zeros.index_add(0, where, valid.flatten().to(logits))
        if config.distillation:
            sums["kl"] = self._divergence(logits, cast(Tensor, teacher))
            sums["teacher's pixels"] = logits.new_tensor([labels.numel()])
        if sums:
            lengths = [len(value) for value in sums.values()]
            packed = _over_ranks(torch.cat(list(sums.values())))
            sums = dict(zip(sums, packed.split_with_sizes(lengths), strict=True))

        parts: dict[str, Tensor] = {}
        if config.ce:
            parts["ce"] = (sums["ce"] / sums["pixels"].clamp(min=SMOOTH))[0]
        if config.dice:
            parts["dice"] = (1 - (2 * sums["overlap"] + SMOOTH) / (sums["size"] + SMOOTH)).mean()
        if config.lovasz:
            parts["lovasz"] = _lovasz_softmax(logits, truth, valid)
        if config.distillation:
            parts["distillation"] = (sums["kl"] / sums["teacher's pixels"].clamp(min=1))[0]
        total = torch.stack([getattr(config, name) * part for name, part in parts.items()]).sum()
        return total, {name: part.detach() for name, part in parts.items()}

    def _check(self, logits: Tensor, labels: Tensor, teacher: Tensor | None) -> None:
        n, classes, *sides = logits.shape
        if classes != self.classes or labels.shape != (n, *sides):
            raise UsageError(
                f"logits of shape {tuple(logits.shape)} and labels of shape {tuple(labels.shape)}",
                f"are not (N, {self.classes}, S, S) and (N, S, S)",
                "give the batch's own",
            )
        if not self.config.distillation:
            return
        if teacher is None:
            raise UsageError("loss.distillation", "needs a teacher's logits", "give them, or set it to 0")
        if teacher.shape != logits.shape:
            raise UsageError(
                f"teacher's logits of shape {tuple(teacher.shape)}",
                f"are not {tuple(logits.shape)}",
                "bring them to the student's classes and size",
            )

    def _cross_entropy(self, log_p: Tensor, counted: Tensor) -> Tensor:
        """log p of the truth and how often a pixel counts (N, S, S) -> (1,), the sum of -(1 - p)^gamma log p."""
        loss = -log_p
        if self.config.focal_gamma:
            # Not 0: below gamma 1 the power has no derivative there.
            loss = loss * (-log_p.expm1()).clamp(min=1e-7).pow(self.config.focal_gamma)
        return (loss * counted).sum()[None]

    def _divergence(self, logits: Tensor, teacher: Tensor) -> Tensor:
        """(1,), the sum over all pixels of KL(teacher || student) * T^2."""
        t = self.config.temperature
        student = (logits / t).log_softmax(1)
        target = (teacher.detach().to(logits) / t).log_softmax(1)
        return nn.functional.kl_div(student, target, reduction="sum", log_target=True)[None] * t**2


class _TruthAndSquares(torch.autograd.Function):
    """log p of the truth (N, S, S) and each class's sum of p^2 over valid pixels (K,), p the softmax of the logits.

    By hand because of the size of p: a one-hot truth and autograd's intermediates would each be as large again.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, truth: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        log_p = logits.log_softmax(1)
        log_truth = log_p.gather(1, truth[:, None])[:, 0]
        p = log_p.exp_()
        if not valid.all():
            p.mul_(valid[:, None])
            log_truth.mul_(valid)
        ctx.save_for_backward(p, truth)
        # No copy of p^2 is written.
        return log_truth, torch.linalg.vector_norm(p.flatten(2), dim=2).square().sum(0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_truth: Tensor, of_squares: Tensor) -> tuple[Tensor, None, None]:
        # With respect to log p: 2 p^2 for the squares, 1 at the truth for the rest. Then log-softmax's own backward.
        # At ignored pixels p and the incoming gradient are 0, and so is all of this.
        p, truth = ctx.saved_tensors
        gradient = p.square().mul_(2 * of_squares[:, None, None])
        gradient.scatter_add_(1, truth[:, None], of_truth[:, None])
        return gradient.addcmul_(p, gradient.sum(1, keepdim=True), value=-1), None, None


def _truth_and_squares(logits: Tensor, truth: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """`_TruthAndSquares`; what comes back at ignored pixels is 0 and must get no gradient."""
    return cast(tuple[Tensor, Tensor], _TruthAndSquares.apply(logits, truth, valid))  # type: ignore[no-untyped-call]


class _SumOverRanks(torch.autograd.Function):
    """The sum of a tensor over all processes; so is its gradient."""

    @staticmethod
    def forward(_ctx: Any, local: Tensor) -> Tensor:
        total = local.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    @once_differentiable
    def backward(_ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total


def _over_ranks(local: Tensor) -> Tensor:
    if several():
        return cast(Tensor, _SumOverRanks.apply(local))  # type: ignore[no-untyped-call]
    return local


def _lovasz_softmax(logits: Tensor, truth: Tensor, valid: Tensor) -> Tensor:
    """Lovasz-softmax over all pixels of this process together (arXiv 1705.08790, algorithm 1), classes present.

    Per class: the errors |g - p|, largest first, times the growth of the Jaccard loss as one more pixel is wrong.
    """
    keep = valid.flatten()
    p = logits.softmax(1).transpose(0, 1).flatten(1)[:, keep]  # (K, P)
    truth = truth.flatten()[keep]
    losses = []
    for label in truth.bincount().nonzero()[:, 0].tolist():
        here = truth == label
        errors, order = (here.to(p) - p[label]).abs().sort(descending=True)
        hit = here[order].cumsum(0)
        missed = torch.arange(1, len(order) + 1, device=hit.device) - hit
        # In double: a pixel's share is a difference of near-equal numbers.
        jaccard = 1 - (hit[-1] - hit).double() / (hit[-1] + missed)
        growth = torch.cat([jaccard[:1], jaccard.diff()]).to(p)
        losses.append(errors @ growth)
    return torch.stack(losses).mean() if losses else 0 * logits.sum()
