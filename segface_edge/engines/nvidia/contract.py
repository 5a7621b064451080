"""What a plan takes and gives: read from its engine, held against its document, or the document guessed of it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from segface_edge.errors import IncompatibleEngineError
from segface_edge.labels import label_set
from segface_edge.spec import IMAGENET_MEAN, IMAGENET_STD, ModelSpec

from .plan import PlanWarning, sidecar


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """An input or output of an engine.

    Attributes:
        name: its name.
        is_input: which of the two.
        dtype: of its values.
        shape: -1 where it is open.
    """

    name: str
    is_input: bool
    dtype: npt.DTypeLike
    shape: tuple[int, ...]


def _dtype(trt: ModuleType, kind: Any) -> npt.DTypeLike:
    """numpy's type of NVIDIA's, or `object` for one that no file of ours has."""
    types = {trt.DataType.UINT8: np.uint8, trt.DataType.FLOAT: np.float32, trt.DataType.HALF: np.float16}
    return types.get(kind, object)


def network_tensors(trt: ModuleType, network: Any) -> tuple[Tensor, ...]:
    """The inputs and outputs of a network that NVIDIA's parser made, `trt` its module."""
    ends = [(network.get_input(index), True) for index in range(network.num_inputs)]
    ends += [(network.get_output(index), False) for index in range(network.num_outputs)]
    return tuple(
        Tensor(name=one.name, is_input=is_input, dtype=_dtype(trt, one.dtype), shape=tuple(one.shape))
        for one, is_input in ends
    )


def read_tensors(trt: ModuleType, engine: Any) -> tuple[Tensor, ...]:
    """Those of a TensorRT engine, `trt` its module; inputs first, then in the engine's order."""
    found = []
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        found.append(
            Tensor(
                name=name,
                is_input=engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT,
                dtype=_dtype(trt, engine.get_tensor_dtype(name)),
                shape=tuple(engine.get_tensor_shape(name)),
            )
        )
    return tuple(sorted(found, key=lambda one: not one.is_input))


def guess_spec(tensors: tuple[Tensor, ...], path: Path) -> ModelSpec:
    """The contract of a plan that does not say it, from its inputs and outputs. The label order cannot be seen.

    Args:
        tensors: its inputs and outputs, the one input first.
        path: the plan, for messages.

    Raises:
        IncompatibleEngineError: it takes no frames.
    """
    source, outputs = tensors[0], tensors[1:]
    deploy = source.dtype == np.uint8
    if len(source.shape) != 4 or source.shape[3 if deploy else 1] != 3:
        raise IncompatibleEngineError(path, f"takes {_words(source)}: no frames", "give a plan of a face parser")
    logits = next((one for one in outputs if one.name == "logits"), None)
    order = label_set("segface")
    count = logits.shape[1] if logits and len(logits.shape) == 4 else len(order)
    known = count == len(order)
    document = sidecar(path).name
    warnings.warn(
        PlanWarning(
            f"{path}: there is no {document}; labels are taken "
            f"{f'to be in the order {order.name}' if known else 'as numbers'}. Give --spec MODEL.onnx if it is known"
        ),
        stacklevel=4,
    )
    return ModelSpec(
        backbone="unknown",
        graph="deploy" if deploy else "reference",
        size=source.shape[2],
        batch=None if source.shape[0] == -1 else source.shape[0],
        label_order=order.name if known else "unknown",
        classes=order.classes if known else ("background", *(f"class_{index}" for index in range(1, count))),
        outputs=tuple(one.name for one in outputs),  # type: ignore[misc] # checked next
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
    )


def check_contract(
    tensors: tuple[Tensor, ...],
    spec: ModelSpec,
    path: Path,
    *,
    has: str = "it has",
    cure: str = "build it again: segface-edge build MODEL.onnx -o FILE.plan",
) -> None:
    """Compares what a file promises with inputs and outputs as NVIDIA's code has them, in whatever order.

    Args:
        tensors: NVIDIA's.
        spec: the promise.
        path: the file, for messages.
        has: who has other ones, and the cure, for messages.

    Raises:
        IncompatibleEngineError: they differ in a name, a type or a shape.
    """
    n, s, k = spec.batch or -1, spec.size, len(spec.classes)
    deploy = spec.graph == "deploy"
    promised = [
        Tensor(name="frames", is_input=True, dtype=np.uint8, shape=(n, s, s, 3))
        if deploy
        else Tensor(name="images", is_input=True, dtype=np.float32, shape=(n, 3, s, s)),
        *(
            Tensor(name="logits", is_input=False, dtype=np.float32, shape=(n, k, s, s))
            if kind == "logits"
            else Tensor(name=kind, is_input=False, dtype=np.uint8, shape=(n, s, s))
            for kind in spec.outputs
        ),
    ]
    if sorted(promised, key=lambda one: one.name) != sorted(tensors, key=lambda one: one.name):
        raise IncompatibleEngineError(
            path,
            f"should have {', '.join(map(_words, promised))}; {has} {', '.join(map(_words, tensors))}",
            cure,
        )


def _words(tensor: Tensor) -> str:
    shape = "x".join("N" if size == -1 else str(size) for size in tensor.shape)
    return f"{tensor.name} {shape} {getattr(tensor.dtype, '__name__', tensor.dtype)}"
