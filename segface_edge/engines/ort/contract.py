"""What an ONNX file promises in its metadata, read from its session and held against its graph."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from segface_edge.engines.promise import Tensor, check_promise
from segface_edge.errors import IncompatibleEngineError
from segface_edge.spec import METADATA_KEY, ModelSpec

_DTYPES = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}


def entry(session: Any, key: str) -> Any:
    """An entry of the metadata of an `onnxruntime.InferenceSession`, None where it is absent or no JSON."""
    try:
        return json.loads(_metadata(session).get(key, ""))
    except (ValueError, RecursionError):
        return None


def _metadata(session: Any) -> dict[str, str]:
    """Raises ValueError where it is no text."""
    found: dict[str, str] = session.get_modelmeta().custom_metadata_map
    return found


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
    try:
        text = _metadata(session).get(METADATA_KEY)
    except ValueError as error:
        raise IncompatibleEngineError(
            source, "has metadata that are no text", "export the model again: segface-edge export"
        ) from error
    if text is None:
        raise IncompatibleEngineError(
            source, "has no segface-edge metadata", "export the checkpoint with: segface-edge export --weights FILE"
        )
    return ModelSpec.from_json(text, source=source)


def check_contract(session: Any, spec: ModelSpec, source: str) -> None:
    """Compares what the metadata promises with the graph's own inputs and outputs.

    Raises:
        IncompatibleEngineError: they differ in a name, a type, a shape or their order.
    """

    def found(nodes: Any) -> list[Tensor]:
        return [
            (node.name, _DTYPES.get(node.type, node.type), tuple(d if isinstance(d, int) else None for d in node.shape))
            for node in nodes
        ]

    check_promise(spec, source, found(session.get_inputs()), found(session.get_outputs()))
