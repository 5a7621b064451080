"""What an ONNX file promises in its metadata, read from its session and held against its graph."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from segface_edge.errors import IncompatibleEngineError
from segface_edge.spec import METADATA_KEY, ModelSpec

Tensor = tuple[str, Any, tuple[int | None, ...]]  # name, type, shape; None where it is the batch

_DTYPES = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}


def entry(session: Any, key: str) -> Any:
    """An entry of the metadata of an `onnxruntime.InferenceSession`, None where it is absent or no JSON."""
    try:
        return json.loads(session.get_modelmeta().custom_metadata_map.get(key, ""))
    except (ValueError, RecursionError):
        return None


def precision(session: Any) -> tuple[str, str]:
    """The precision that the file's metadata names, and whose kernels it is for; "fp32" and "gpu" where nothing is
    said: what is wrong is said later."""
    document = entry(session, METADATA_KEY)
    document = document if isinstance(document, dict) else {}
    return str(document.get("precision", "fp32")), str(document.get("made_for", "gpu"))


def spec_of(session: Any, source: str) -> ModelSpec:
    """The contract that the metadata states.

    Args:
        session: an `onnxruntime.InferenceSession`.
        source: the file's name, for messages.

    Raises:
        IncompatibleEngineError: there is none, or it is no contract.
    """
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        raise IncompatibleEngineError(
            source, "has no segface-edge metadata", "export the checkpoint with: segface-edge export --weights FILE"
        )
    return ModelSpec.from_json(text, source=source)


def promised_tensors(spec: ModelSpec) -> list[Tensor]:
    """The frames that a graph with this metadata takes, and then what it gives."""
    n, s, k = spec.batch, spec.size, len(spec.classes)
    feed: Tensor = (
        ("frames", np.uint8, (n, s, s, 3)) if spec.graph == "deploy" else ("images", np.float32, (n, 3, s, s))
    )
    outputs: list[Tensor] = [
        (kind, np.float32, (n, k, s, s)) if kind == "logits" else (kind, np.uint8, (n, s, s)) for kind in spec.outputs
    ]
    return [feed, *outputs]


def promised_inputs(spec: ModelSpec) -> list[Tensor]:
    """All that it takes: frames, and the landmarks of a graph that warps faces itself."""
    landmarks: Tensor = ("landmarks", np.float32, (spec.batch, 5, 2))
    return [promised_tensors(spec)[0], *([landmarks] if spec.warp == "inside" else [])]


def check_contract(session: Any, spec: ModelSpec, source: str) -> None:
    """Compares what the metadata promises with the graph's own inputs and outputs.

    Raises:
        IncompatibleEngineError: they differ in a name, a type, a shape or their order.
    """
    outputs = promised_tensors(spec)[1:]
    for promised, real in ((promised_inputs(spec), session.get_inputs()), (outputs, session.get_outputs())):
        found: list[Tensor] = [
            (node.name, _DTYPES.get(node.type, node.type), tuple(d if isinstance(d, int) else None for d in node.shape))
            for node in real
        ]
        if found != promised:
            raise IncompatibleEngineError(
                source,
                f"its metadata promises {_words(promised)}, the graph has {_words(found)}",
                "export it again: segface-edge export",
            )


def _words(tensors: list[Tensor]) -> str:
    def shape(dims: tuple[int | None, ...]) -> str:
        return "x".join("N" if d is None else str(d) for d in dims)

    return ", ".join(f"{name} {shape(dims)} {getattr(dtype, '__name__', dtype)}" for name, dtype, dims in tensors)
