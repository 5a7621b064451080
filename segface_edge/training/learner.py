"""What learns: the network, and all else that a step changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch

from segface_edge.labels import label_set
from segface_edge.network import SegFace

from .contrast import Contrast
from .ema import Ema
from .face_source import FaceSource
from .parameters import parameter_groups
from .recipe import Recipe
from .regions import RegionNetwork


@dataclass(frozen=True, kw_only=True)
class Learner:
    """The network of a run, and all else that a step changes.

    Attributes:
        network: what is trained.
        ema: its moving average, where the recipe wants one.
        regions, contrast: the network with its regions, and their loss, where the recipe is contrastive.
        optimiser: of the network's parameters, and of the regions' projection.
        base_rates: learning rates of the optimiser's groups, before the schedule.
        scaler: of the gradient; does nothing but in fp16.
    """

    network: SegFace
    ema: Ema | None
    regions: RegionNetwork | None
    contrast: Contrast | None
    optimiser: torch.optim.AdamW
    base_rates: tuple[float, ...]
    scaler: torch.amp.GradScaler

    @property
    def kept(self) -> SegFace:
        """The network whose weights are measured and written: the average, where there is one."""
        return cast(SegFace, self.ema.model) if self.ema is not None else self.network

    def state(self) -> dict[str, Any]:
        """What a run goes on from."""
        return {
            "network": self.network.state_dict(),
            "ema": self.ema.model.state_dict() if self.ema is not None else {},
            "ema_updates": self.ema.updates if self.ema is not None else 0,
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            "contrastive": (
                {"projection": self.regions.projection.state_dict(), **self.contrast.state()}
                if self.regions is not None and self.contrast is not None
                else {}
            ),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Goes on from a `state`. Raises CheckpointError where it is not of this training set."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.scaler.load_state_dict(state["scaler"])
        if self.ema is not None:
            self.ema.model.load_state_dict(state["ema"])
            self.ema.updates = state["ema_updates"]
        if self.regions is not None and self.contrast is not None:
            self.contrast.load(state.get("contrastive", {}))
            self.regions.projection.load_state_dict(state["contrastive"]["projection"])


def make_learner(recipe: Recipe, network: SegFace, source: FaceSource, device: torch.device) -> Learner:
    """What learns as a recipe says.

    Args:
        recipe: of the training.
        network: with the weights that it starts from, on the device; it is trained in place.
        source: of the training set, whose regions are told apart.
        device: where everything is.
    """
    config = recipe.optimiser
    regions, contrast = None, None
    if recipe.contrastive is not None:
        regions = RegionNetwork(network, recipe.contrastive.regions).to(device)
        contrast = Contrast(
            recipe.contrastive,
            # A teacher's labels are regions too.
            source.present(),
            len(label_set(recipe.model.labels)),
            seed=recipe.run.seed,
            device=device,
        )
    if recipe.run.channels_last:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    ema = Ema(network, recipe.run.ema) if recipe.run.ema > 0 else None
    groups = parameter_groups(network, recipe)
    if regions is not None:
        groups.append({"params": list(regions.projection.parameters()), "lr": config.lr, "weight_decay": 0.0})
    # One pass over each parameter and its moments; on a GPU PyTorch's own choice is as good.
    optimiser = torch.optim.AdamW(groups, lr=config.lr, fused=True if device.type == "cpu" else None)
    return Learner(
        network=network,
        ema=ema,
        regions=regions,
        contrast=contrast,
        optimiser=optimiser,
        base_rates=tuple(float(group["lr"]) for group in optimiser.param_groups),
        scaler=torch.amp.GradScaler(device.type, enabled=recipe.run.precision == "fp16"),
    )
