"""What is trained: the network with the weights that it starts from, and its parameters in groups."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from segface_edge import zoo
from segface_edge.errors import UsageError
from segface_edge.network import SegFace, build_segface, read_checkpoint
from segface_edge.network.checkpoint import Checkpoint, load_segface
from segface_edge.network.imagenet import installed, load_backbone
from segface_edge.network.segface import BACKBONES

from .recipe import BUNDLED, IMAGENET, Recipe

_BLOCK = re.compile(r"face_decoder\.transformer\.layers\.(\d+)\.")


def starting_network(recipe: Recipe) -> SegFace:
    """The network with the weights that the training starts from, on the CPU.

    Raises:
        CheckpointError: the weights cannot be read, or are not of this network.
        UsageError: the package has none of this backbone.
    """
    config = recipe.model
    if config.weights is None:
        model = build_segface(config.backbone, config.labels, config.size)
        if config.backbone_weights is not None:
            given = config.backbone_weights
            load_backbone(model, installed(config.backbone) if given == IMAGENET else Path(given))
    else:
        path = _bundled(config.backbone) if config.weights == BUNDLED else Path(config.weights)
        model = load_segface(
            _fitting(read_checkpoint(path), config.backbone),
            backbone=config.backbone,
            labels=config.labels,
            image_size=config.size,
            source=path,
        )
    model.warps = config.warp
    tokens = model.face_decoder.class_tokens.data
    before = tokens.clone()
    for name, like in config.tokens.items():
        tokens[model.labels.index(name)] = before[model.labels.index(like)]
    return model


def _fitting(checkpoint: Checkpoint, backbone: str) -> Checkpoint:
    """Without the transformer's later blocks, where the network has fewer: it starts from a deeper one's weights."""
    blocks = BACKBONES[backbone].blocks
    state = {
        name: tensor
        for name, tensor in checkpoint.state.items()
        if not (match := _BLOCK.match(name)) or int(match[1]) < blocks
    }
    return replace(checkpoint, state=state)


def parameter_groups(network: SegFace, recipe: Recipe) -> list[dict[str, Any]]:
    """Parameters by what they need: rates of their own for backbone and tokens, no decay for biases, norms, tokens.

    What `torch.optim.AdamW` takes: `params`, `lr`, `weight_decay` of each group.
    """
    config = recipe.optimiser
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for name, parameter in network.named_parameters():
        share, decay = 1.0, config.weight_decay if parameter.ndim >= 2 else 0.0
        if name.endswith("class_tokens"):
            share, decay = config.token_lr_share, 0.0
        elif name.startswith("backbone."):
            share = config.backbone_lr_share
        groups.setdefault((share, decay), []).append(parameter)
    return [
        {"params": parameters, "lr": config.lr * share, "weight_decay": decay}
        for (share, decay), parameters in groups.items()
    ]


def _bundled(backbone: str) -> Path:
    if backbone not in zoo.RELEASED:
        known = ", ".join(zoo.RELEASED)
        raise UsageError(f"bundled weights of '{backbone}'", "are not there", f"name a file, or train one of: {known}")
    return zoo.RELEASED[backbone]
