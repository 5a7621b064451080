"""What a model file promises, held against what its graph takes and gives: the same for every runtime on a CPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from segface_edge.errors import IncompatibleEngineError
from segface_edge.pictures.geometry import UInt8Array
from segface_edge.spec import ModelSpec

from .base import Output

Tensor = tuple[str, Any, tuple[int | None, ...]]  # name, type, shape; None where it is the batch


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


def check_promise(spec: ModelSpec, source: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
    """Compares what the metadata promises with the graph's own inputs and outputs.

    Raises:
        IncompatibleEngineError: they differ in a name, a type, a shape or their order.
    """
    for promised, found in ((promised_inputs(spec), [*inputs]), (promised_tensors(spec)[1:], [*outputs])):
        if found != promised:
            raise IncompatibleEngineError(
                source,
                f"its metadata promises {_words(promised)}, the graph has {_words(found)}",
                "export it again: segface-edge export",
            )


def fed(spec: ModelSpec, frames: UInt8Array) -> npt.NDArray[Any]:
    """(N, S, S, 3) uint8 as the graph takes it."""
    if spec.graph == "deploy":
        return frames
    mean, std = np.array(spec.mean, np.float32), np.array(spec.std, np.float32)
    normalised = frames.astype(np.float32) * (1 / (255 * std)) - mean / std
    return np.ascontiguousarray(normalised.transpose(0, 3, 1, 2))


def given(spec: ModelSpec, values: Sequence[npt.NDArray[Any]]) -> Output:
    """What a graph gave, in the order of `spec.outputs`, as an engine returns it."""
    found = dict(zip(spec.outputs, values, strict=True))
    labels = found["labels"] if "labels" in found else found["logits"].argmax(axis=1).astype(np.uint8)
    return Output(labels, found.get("confidence"), found.get("logits"))


def _words(tensors: list[Tensor]) -> str:
    def shape(dims: tuple[int | None, ...]) -> str:
        return "x".join("N" if d is None else str(d) for d in dims)

    return ", ".join(f"{name} {shape(dims)} {getattr(dtype, '__name__', dtype)}" for name, dtype, dims in tensors)
