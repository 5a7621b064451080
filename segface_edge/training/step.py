"""A step of the optimiser: a batch in, the network's weights moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from .augment import augment, move_points
from .batches import Batch
from .clock import Clock
from .run import Run
from .schedule import LAYERS, Step, learning_rate_factor, random

_HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}


class NotFinite(Exception):
    """Loss or gradient is not a finite number, in any of the processes."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a step came to.

    Attributes:
        loss, parts: scalars, the total and what it is made of, without gradient.
        rate_factor: what the learning rates were multiplied with.
        gradient_norm: a scalar, of the network's gradient before clipping.
    """

    loss: Tensor
    parts: Mapping[str, Tensor]
    rate_factor: float
    gradient_norm: Tensor


class OptimiserStep:
    """Takes the steps of a run; the learner is changed by each, and by nothing else.

    Args:
        run: prepared: of several processes the first one's weights are everyone's from here on.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._network: nn.Module = run.learner.regions or run.learner.network
        if run.processes.world > 1:
            device = run.processes.device
            ids = [device.index] if device.type == "cuda" else None
            self._network = DistributedDataParallel(self._network, device_ids=ids)
        if run.recipe.run.compile:
            self._network = cast(nn.Module, torch.compile(self._network))

    def __call__(self, step: Step, batch: Batch, photos: Sequence[int], clock: Clock) -> Outcome:
        """Takes a step.

        Args:
            step: of the plan.
            batch: this process's share of its samples, on the device.
            photos: which photo of the training set each of them is of.
            clock: told of the parts `augment`, `forward`, `backward`, `optimiser`.

        Raises:
            NotFinite: the loss or, except in fp16, the gradient is not; the optimiser has moved nothing.
        """
        run = self._run
        images, labels = augment(
            batch.images,
            batch.labels,
            batch.backgrounds,
            batch.draws,
            size=step.size,
            order=run.order,
            config=run.recipe.augment,
        )
        landmarks = None
        if batch.landmarks is not None:
            landmarks = move_points(batch.landmarks, batch.draws, size=step.size, config=run.recipe.augment)
        clock.lap("augment")
        self._set_mode(step)
        factor = self._set_rates(step)
        loss, parts = self._forward(step, images, labels, landmarks, photos)
        (broken,) = run.processes.any(not bool(torch.isfinite(loss)))
        if broken:
            raise NotFinite
        clock.lap("forward")
        norm = self._update(loss, clock)
        clock.lap("optimiser")
        return Outcome(loss=loss.detach(), parts=parts, rate_factor=factor, gradient_norm=norm)

    def _set_mode(self, step: Step) -> None:
        network = self._run.learner.network
        network.train()
        if step.stage.freeze_batchnorm:
            for module in network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()

    def _set_rates(self, step: Step) -> float:
        learner, recipe = self._run.learner, self._run.recipe
        factor = learning_rate_factor(recipe.optimiser, step.number, recipe.steps)
        for group, rate in zip(learner.optimiser.param_groups, learner.base_rates, strict=True):
            group["lr"] = rate * factor
        return factor

    def _forward(
        self, step: Step, images: Tensor, labels: Tensor, landmarks: Tensor | None, photos: Sequence[int]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and its parts without gradient."""
        run, recipe = self._run, self._run.recipe
        # Of layers that are left out at random (torchvision's backbones have them): a resumed run goes on exactly. Each
        # process draws its own.
        own = step.number * run.processes.world + run.processes.rank
        torch.manual_seed(int(random(recipe.run.seed, LAYERS, own).integers(2**63)))
        half = _HALF.get(recipe.run.precision)
        with torch.autocast(images.device.type, dtype=half) if half else nullcontext():
            teacher = run.teacher.logits(images) if run.teacher is not None and recipe.loss.distillation > 0 else None
            output: Sequence[Tensor] = (
                self._network(images, labels) if run.learner.regions is not None else [self._network(images, landmarks)]
            )
        loss, parts = run.loss(output[0], labels, teacher)
        if recipe.contrastive is not None and run.learner.contrast is not None:
            which = torch.tensor(photos, device=images.device)
            contrastive = run.learner.contrast(step.number, output[1], output[2], which)
            loss, parts = loss + recipe.contrastive.weight * contrastive, {**parts, "contrastive": contrastive.detach()}
        return loss, parts

    def _update(self, loss: Tensor, clock: Clock) -> Tensor:
        """Moves the weights, and their average; the norm of the network's gradient."""
        learner, recipe = self._run.learner, self._run.recipe
        learner.optimiser.zero_grad(set_to_none=True)
        learner.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        clock.lap("backward")
        learner.scaler.unscale_(learner.optimiser)
        limit = recipe.optimiser.clip or float("inf")
        norm = nn.utils.clip_grad_norm_(learner.network.parameters(), limit)
        finite = bool(norm.isfinite())
        if learner.regions is not None:
            # By itself, so that the network is clipped as without it.
            of_projection = nn.utils.clip_grad_norm_(learner.regions.projection.parameters(), limit)
            finite = finite and bool(of_projection.isfinite())
        # The scaler of fp16 leaves such a step out by itself.
        if recipe.run.precision != "fp16" and not finite:
            raise NotFinite
        learner.scaler.step(learner.optimiser)
        learner.scaler.update()
        if learner.ema is not None:
            learner.ema.update(learner.network)
        return norm
