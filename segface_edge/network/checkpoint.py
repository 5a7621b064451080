"""Checkpoints: reading them safely, building the network that they are of, writing them."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from segface_edge.errors import CheckpointError
from segface_edge.files import came_instead, sha256_of, write_whole
from segface_edge.labels import LABEL_SETS, label_set

from .reference_names import load_reference_state_dict, orders_of, reference_state_dict
from .segface import WARPED_ORDER, SegFace, build_segface

# Of an imported file, in its metadata: what it was made of.
ORIGIN = "origin"
# What a file says of itself whose network warps faces (`pictures/warping.py`).
_WARP = "roi-tanh"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What a checkpoint file holds.

    Attributes:
        state: reference names -> tensors.
        backbone: its name, None where the file does not say.
        label_order: name of the label order, None where the file does not say.
        trained_size: input side that the weights were trained at, None where the file does not say.
        terms: terms of use, one line, None where the file does not say.
        sha256: of the file.
        origin: what it was imported from, one line, None where it was not.
        warp: `roi-tanh`: its network warps faces; `none`: it does not, as the file says its label order and no warp;
            None where the file says nothing of itself, as the authors' do not.
    """

    state: Mapping[str, Tensor]
    backbone: str | None
    label_order: str | None
    trained_size: int | None
    terms: str | None
    sha256: str
    origin: str | None = None
    warp: str | None = None


def read_checkpoint(path: Path) -> Checkpoint:
    """Reads a safetensors file, or a pickle (`.pt`, `.pth`) with `weights_only=True`.

    Raises:
        CheckpointError: the file is absent, damaged, holds code, or holds no weights.
    """
    if not path.is_file():
        raise CheckpointError(path, "no such file", "give a .safetensors or .pt checkpoint")
    if path.suffix == ".safetensors":
        state, metadata = _read_safetensors(path)
    elif path.suffix in (".pt", ".pth", ".bin"):
        state, metadata = _read_pickle(path), {}
    else:
        raise CheckpointError(path, f"unknown kind of checkpoint '{path.suffix}'", "give a .safetensors or .pt file")
    size, order = metadata.get("trained_size", ""), metadata.get("label_order")
    if order is not None and order not in LABEL_SETS:
        raise CheckpointError(path, f"names the unknown label order '{order}'", f"use one of: {', '.join(LABEL_SETS)}")
    if size and not (size.isdecimal() and len(size) <= 4 and int(size) >= 32):
        raise CheckpointError(path, f"names the trained size '{size[:20]}'", "correct its metadata: pixels, 32 or more")
    warp = metadata.get("warp", None if order is None else "none")
    if warp not in (None, "none", _WARP):
        raise CheckpointError(path, f"warps faces by '{warp[:20]}'", f"use a segface-edge that knows it, or {_WARP}")
    return Checkpoint(
        state=state,
        backbone=metadata.get("backbone"),
        label_order=order,
        trained_size=int(size) if size else None,
        terms=metadata.get("terms"),
        sha256=sha256_of(path),
        origin=metadata.get(ORIGIN),
        warp=warp,
    )


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(str(path), framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        _refuse_instead(path, "safetensors", error)
        raise CheckpointError(path, f"is not a readable safetensors file ({error})", "download it again") from error


def _refuse_instead(path: Path, but: str, error: Exception) -> None:
    """Raises CheckpointError where a file is something else that is known, whatever its name says."""
    if path.is_file():
        with path.open("rb") as file:
            instead = came_instead(file.read(64), but)
        if instead is not None:
            raise CheckpointError(path, f"is {instead[0]}, not a {path.suffix} file of weights", instead[1]) from error


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle's protocol, where it is another than torch's
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        _refuse_instead(path, "checkpoint", error)
        raise CheckpointError(
            path,
            "is damaged, or holds more than weights (code), and was not loaded",
            "download it again, or convert it to safetensors",
        ) from error
    except Exception as error:  # the unpickler raises whatever the bytes lead it to
        raise CheckpointError(path, "is not a readable PyTorch checkpoint", "download it again") from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict_backbone"), Mapping):
        content = content["state_dict_backbone"]
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(path, "holds no state dict", "give a checkpoint of SegFace")
    state = {}
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise CheckpointError(path, f"entry {name!r} is not a tensor", "give a checkpoint of SegFace")
        state[name.removeprefix("module.")] = value  # the prefix that DistributedDataParallel adds
    return state


def provenance(checkpoint: Checkpoint) -> dict[str, str]:
    """Where weights came from, as a spec says it."""
    return {"weights_sha256": checkpoint.sha256} | ({"weights_from": checkpoint.origin} if checkpoint.origin else {})


def load_segface(
    checkpoint: Checkpoint,
    *,
    backbone: str | None = None,
    labels: str | None = None,
    image_size: int,
    source: object,
) -> SegFace:
    """The network that a checkpoint is of, in eval mode.

    Args:
        checkpoint: from `read_checkpoint`.
        backbone: key of `BACKBONES`; None takes what the file says, see `recognise.identified`.
        labels: label order; None takes what the file says, or else the first known order with as many classes.
            Another name for the same classes is taken (helen for lapa), another order is refused.
        image_size: input side that the model is meant for.
        source: what messages name.

    Raises:
        CheckpointError: the weights do not fit the network, or nobody says which it is.
        UsageError: unknown backbone or label order.
    """
    backbone = backbone or checkpoint.backbone
    if backbone is None:
        raise CheckpointError(source, "does not say its backbone", "name it: --backbone")
    order = label_set(checkpoint.label_order or orders_of(checkpoint.state, source)[0])
    if labels is not None:
        # Naming another order would not turn the weights into it: every class would get another's name.
        if label_set(labels).classes != order.classes:
            raise CheckpointError(
                source,
                f"is in the label order '{order.name}', not '{labels}'",
                f"leave --labels out; results can be remapped: segface-edge parse --order {labels}",
            )
        order = label_set(labels)
    # The authors' networks of LaPa warp, and their files say nothing.
    warps = order.name == WARPED_ORDER if checkpoint.warp is None else checkpoint.warp == _WARP
    model = build_segface(backbone, order, image_size, warps=warps)
    load_reference_state_dict(model, checkpoint.state, source=source)
    return model.eval()


def write_checkpoint(
    path: Path, model: SegFace, *, trained_size: int, terms: str, notes: Mapping[str, str], half: bool = True
) -> None:
    """Writes the weights under the reference's names (safetensors), whole or not at all.

    Args:
        path: the file, `.safetensors`.
        model: the network.
        trained_size: the input side that the weights are meant for.
        terms: terms of use, one line.
        notes: further metadata.
        half: in half precision; else as they are.

    Raises:
        CheckpointError: a weight is not finite in half precision.
        InputError: the file cannot be written.
    """
    state = {}
    for name, tensor in reference_state_dict(model).items():
        kept = tensor.detach().cpu()
        if kept.is_floating_point():
            kept = kept.half() if half else kept
            if not bool(kept.isfinite().all()):
                raise CheckpointError(
                    path, f"the weight {name} is not finite in half precision", "train at a lower rate"
                )
        state[name] = kept.contiguous()
    metadata = {
        "backbone": model.backbone_name,
        "label_order": model.labels.name,
        "trained_size": str(trained_size),
        "terms": terms,
        **({"warp": _WARP} if model.warps else {}),
        **notes,
    }
    write_whole(path, save(state, metadata))
