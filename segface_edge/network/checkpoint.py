"""Checkpoints: reading them safely, and the reference implementation's names for our weights.

The names in every file that we read and write are the reference's, so that its `model_299.pt` and our releases are
interchangeable. Ours differ in two places: the class tokens are one tensor (theirs: an embedding per class), and the
fusion is a module (theirs: its layers lie at the top).
"""

from __future__ import annotations

import hashlib
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
from segface_edge.files import came_instead, write_whole
from segface_edge.labels import LABEL_SETS, label_set

from .segface import WARPED_ORDER, SegFace, build_segface

# The reference's token embeddings, in the order in which it stacks them. Their sides are the viewer's, in both lists:
# `rightear` is class 4, l_ear, on the picture's right.
TOKEN_NAMES: dict[int, tuple[str, ...]] = {
    19: (
        "background", "neck", "face", "cloth", "rightear", "leftear", "rightbro", "leftbro", "righteye", "lefteye",
        "nose", "innermouth", "lowerlip", "upperlip", "hair", "glass", "hat", "earring", "necklace",
    ),
    11: (
        "background", "face", "leftbro", "rightbro", "lefteye", "righteye", "nose", "upperlip", "innermouth",
        "lowerlip", "hair",
    ),
}  # fmt: skip
_TOKENS = "face_decoder.class_tokens"
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
        warp: `roi-tanh`: its network warps faces; `none`: it does not, as the file says its label order and no warp;
            None where the file says nothing of itself, as the authors' do not.
    """

    state: Mapping[str, Tensor]
    backbone: str | None
    label_order: str | None
    trained_size: int | None
    terms: str | None
    sha256: str
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
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
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


def load_segface(
    checkpoint: Checkpoint, *, backbone: str, labels: str | None, image_size: int, source: object
) -> SegFace:
    """The network that a checkpoint is of, in eval mode.

    Args:
        checkpoint: from `read_checkpoint`.
        backbone: key of `BACKBONES`.
        labels: label order; None takes what the file says, or else the first known order with as many classes.
            Another name for the same classes is taken (helen for lapa), another order is refused.
        image_size: input side that the model is meant for.
        source: what messages name.

    Raises:
        CheckpointError: the weights do not fit the network.
        UsageError: unknown backbone or label order.
    """
    order = label_set(checkpoint.label_order or _guess_order(checkpoint, source))
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


def _guess_order(checkpoint: Checkpoint, source: object) -> str:
    tokens = sum(name.startswith("face_decoder.") and name.endswith("_token.weight") for name in checkpoint.state)
    for order in (LABEL_SETS["segface"], LABEL_SETS["lapa"]):
        if len(order) == tokens:
            return order.name
    raise CheckpointError(source, f"has {tokens} class tokens", "give a checkpoint of SegFace with 19 or 11 classes")


def load_reference_state_dict(
    model: SegFace, state_dict: Mapping[str, Tensor], *, source: object = "state dict"
) -> None:
    """Fills `model` from a state dict with the reference's names.

    Missing integer entries (counters, indices) keep the model's own values.

    Args:
        model: the network, changed in place; unchanged where an error is raised.
        state_dict: reference names -> tensors, of any floating-point type.
        source: what the message names, the file for example.

    Raises:
        CheckpointError: other entries are missing, unexpected or wrongly shaped.
    """
    wanted = reference_state_dict(model)
    missing = [
        name for name, tensor in wanted.items() if name not in state_dict and tensor.is_floating_point()
    ]  # fmt: skip
    unexpected = [name for name in state_dict if name not in wanted]
    misshapen = [
        f"{name} is {tuple(state_dict[name].shape)}, not {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in state_dict and state_dict[name].shape != tensor.shape
    ]
    for problem, names in (("missing", missing), ("unexpected", unexpected), ("wrongly shaped", misshapen)):
        if names:
            shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
            raise CheckpointError(
                source,
                f"{len(names)} {problem} of {len(wanted)} entries ({shown})",
                f"give weights of the backbone '{model.backbone_name}' with {len(model.labels)} classes",
            )
    values = {name: state_dict.get(name, tensor) for name, tensor in wanted.items()}
    model.load_state_dict(_from_reference(model, values))


def reference_state_dict(model: SegFace) -> dict[str, Tensor]:
    """The model's weights under the reference's names."""
    state = dict(model.state_dict())
    tokens = state.pop(_TOKENS)
    renamed = {name.removeprefix("fusion."): tensor for name, tensor in state.items()}
    return renamed | {
        f"face_decoder.{name}_token.weight": tokens[index : index + 1] for index, name in enumerate(_token_names(model))
    }


def write_checkpoint(path: Path, model: SegFace, *, trained_size: int, terms: str, notes: Mapping[str, str]) -> None:
    """Writes the weights in half precision under the reference's names (safetensors), whole or not at all.

    Args:
        path: the file, `.safetensors`.
        model: the network.
        trained_size: the input side that the weights are meant for.
        terms: terms of use, one line.
        notes: further metadata.

    Raises:
        CheckpointError: a weight is not finite in half precision.
        InputError: the file cannot be written.
    """
    state = {}
    for name, tensor in reference_state_dict(model).items():
        half = tensor.detach().cpu().half() if tensor.is_floating_point() else tensor.cpu()
        if half.is_floating_point() and not bool(half.isfinite().all()):
            raise CheckpointError(path, f"the weight {name} is not finite in half precision", "train at a lower rate")
        state[name] = half.contiguous()
    metadata = {
        "backbone": model.backbone_name,
        "label_order": model.labels.name,
        "trained_size": str(trained_size),
        "terms": terms,
        **({"warp": _WARP} if model.warps else {}),
        **notes,
    }
    write_whole(path, save(state, metadata))


def _from_reference(model: SegFace, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    names = [f"face_decoder.{name}_token.weight" for name in _token_names(model)]
    ours = {
        f"fusion.{name}" if name.startswith("linear_") else name: tensor
        for name, tensor in state.items()
        if name not in names
    }
    return ours | {_TOKENS: torch.cat([state[name].float() for name in names])}


def _token_names(model: SegFace) -> tuple[str, ...]:
    count = len(model.labels)
    return TOKEN_NAMES.get(count, tuple(f"class{index}" for index in range(count)))
