"""What a checkpoint is of, where it does not say so itself: the authors' files hold weights and nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from segface_edge.errors import CheckpointError

from .checkpoint import Checkpoint
from .reference_names import orders_of, reference_state_dict
from .segface import BACKBONES, build_segface

_SIDES = range(64, 2049, 32)
# What a run's name says of its data, and the order of that data's labels.
_DATA = {"celeba": "segface", "celebamask": "segface", "lapa": "lapa", "helen": "helen"}


@dataclass(frozen=True)
class _Signature:
    """Of one of the reference's backbones: the width of its taps, and two entries, if those do not tell.

    Attributes:
        taps: channels, the shallowest first.
        kind: the end of an entry's name that only this kind of network has.
        blocks: of the third stage, the deep one.
    """

    taps: tuple[int, ...]
    kind: str = ""
    blocks: int = 0


_BASE, _SMALL = (128, 256, 512, 1024), (96, 192, 384, 768)
_CONVNEXT, _SWIN, _SWINV2 = ".layer_scale", ".attn.relative_position_bias_table", ".attn.logit_scale"
# All that the reference builds, told apart without building them, which needs torchvision for most. Its `convnext_tiny`
# is not among them: by a mistake it builds the small one, and a checkpoint of that name is a `convnext_small`. What is
# really tiny has 9 blocks.
_REFERENCE = {
    "mobilenet": _Signature((24, 40, 112, 960)),
    "efficientnet": _Signature((48, 80, 176, 1280)),
    "resnet": _Signature((256, 512, 1024, 2048)),
    "convnext_base": _Signature(_BASE, _CONVNEXT, 27),
    "convnext_small": _Signature(_SMALL, _CONVNEXT, 27),
    "convnext_tiny": _Signature(_SMALL, _CONVNEXT, 9),
    "swin_base": _Signature(_BASE, _SWIN, 18),
    "swinv2_base": _Signature(_BASE, _SWINV2, 18),
    "swinv2_small": _Signature(_SMALL, _SWINV2, 18),
    "swinv2_tiny": _Signature(_SMALL, _SWINV2, 6),
}


def identified(checkpoint: Checkpoint, path: Path, backbone: str | None = None) -> Checkpoint:
    """The same checkpoint, with what it does not say filled in: backbone and label order from its entries, the
    labels' order and the square's side from the names of the file and of its folder. What the names do not say stays
    None; an order of 11 classes that they do not say is LaPa's. A backbone that was named goes before all.

    Raises:
        CheckpointError: it is of no network that is known.
    """
    return replace(
        checkpoint,
        backbone=backbone or checkpoint.backbone or backbone_of(checkpoint.state, path),
        label_order=checkpoint.label_order or order_of(checkpoint.state, path),
        trained_size=checkpoint.trained_size or side_of(path),
    )


def backbone_of(state: Mapping[str, Tensor], source: object) -> str:
    """The key of `BACKBONES` whose network has these entries.

    Raises:
        CheckpointError: there is none.
    """
    for name, signature in _REFERENCE.items():
        if signature == _signature(state, signature):
            return name
    shapes = {name: tensor.shape for name, tensor in state.items() if tensor.is_floating_point()}
    for name in [name for name in BACKBONES if name not in _REFERENCE]:
        with torch.device("meta"):
            wanted = reference_state_dict(build_segface(name, order_of(state, source)))
        if shapes == {name: tensor.shape for name, tensor in wanted.items() if tensor.is_floating_point()}:
            return name
    known = ", ".join(BACKBONES)
    raise CheckpointError(
        source,
        f"is of no network that is known ({len(state)} entries, {next(iter(state))} first)",
        f"give a checkpoint of SegFace, with one of the backbones {known}",
    )


def order_of(state: Mapping[str, Tensor], source: object) -> str:
    """Name of the label order that has as many classes as there are tokens; of two, the one that the path names.

    Raises:
        CheckpointError: no order has as many.
    """
    fitting = orders_of(state, source)
    said = order_named(source) if isinstance(source, Path) else None
    return said if said in fitting else fitting[0]


def order_named(path: Path) -> str | None:
    """The label order that the names of a file and its folder say, None where they say none."""
    return next((_DATA[word] for word in _words(path) if word in _DATA), None)


def side_of(path: Path) -> int | None:
    """The input side that the names of a file and its folder say: `swinb_celeba_512/model_299.pt`."""
    sides = [int(word) for word in _words(path) if word.isdecimal() and len(word) <= 4 and int(word) in _SIDES]
    return sides[0] if sides else None


def _words(path: Path) -> list[str]:
    """Of the file's name and its folder's. The authors' `model_299` is the number of an epoch."""
    names = [re.sub(r"^model_\d+$", "", path.stem), path.absolute().parent.name]
    return [word for name in names for word in re.split(r"[^a-z0-9]+", name.lower())]


def _signature(state: Mapping[str, Tensor], like: _Signature) -> _Signature:
    """What the entries of a checkpoint show of the things that a signature names."""
    taps = tuple(
        state[name].shape[-1]
        for name in (f"linear_c.{index}.proj.weight" for index in range(len(like.taps)))
        if name in state
    )
    kind = like.kind if like.kind and any(name.endswith(like.kind) for name in state) else ""
    deep = {match[1] for name in state if (match := re.match(r"backbone\.0\.5\.(\d+)\.", name))}
    return _Signature(taps, kind, len(deep) if like.blocks else 0)
