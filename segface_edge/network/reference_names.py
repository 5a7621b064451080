"""The reference implementation's names for our weights.

The names in every file that we read and write are the reference's, so that its `model_299.pt` and our releases are
interchangeable. Ours differ in two places: the class tokens are one tensor (theirs: an embedding per class), and the
fusion is a module (theirs: its layers lie at the top).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from segface_edge.errors import CheckpointError
from segface_edge.labels import LABEL_SETS

from .segface import SegFace

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


def orders_of(state: Mapping[str, Tensor], source: object) -> list[str]:
    """Names of the label orders that have as many classes as there are tokens.

    Raises:
        CheckpointError: none has as many.
    """
    tokens = sum(name.startswith("face_decoder.") and name.endswith("_token.weight") for name in state)
    fitting = [name for name in ("segface", "lapa", "helen") if len(LABEL_SETS[name]) == tokens]
    if not fitting:
        raise CheckpointError(
            source, f"has {tokens} class tokens", "give a checkpoint of SegFace with 19 or 11 classes"
        )
    return fitting


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
