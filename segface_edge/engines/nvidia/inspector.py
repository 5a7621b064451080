"""What an engine's layers compute in, read back from NVIDIA's own account of them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from segface_edge.errors import IncompatibleEngineError
from segface_edge.spec import Precision

from .runtimes import Record, make_log

# NVIDIA's spellings, by version: "Row major linear FP32", "Float".
_TYPES = {
    "fp32": re.compile(r"\b(FP32|Float)\b", re.IGNORECASE),
    "fp16": re.compile(r"\b(FP16|Half)\b", re.IGNORECASE),
    "int8": re.compile(r"\bInt8\b", re.IGNORECASE),
}
# Of TensorRT-RTX's log: the type of a layer's first input.
_LOGGED = re.compile(r"LayerType: \w+, Inputs: \[ \{.*?Datatype: (\w+)")


def layer_types(trt: ModuleType, plan: bytes, record: Record) -> Counter[str]:
    """How many layers of a plan have a first input of a precision; the GPU's context is current.

    Raises:
        IncompatibleEngineError: the plan that was just built cannot be loaded.
    """
    runtime = trt.Runtime(make_log(trt, record))
    runtime.engine_host_code_allowed = True  # a version-compatible plan brings code: our own
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise IncompatibleEngineError("the plan", f"cannot be loaded ({record.last_error()})", "report it")
    text = engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
    layers: list[Any] = json.loads(text).get("Layers", [])
    return _count(
        str(inputs[0].get("Format/Datatype") or inputs[0].get("Datatype") or "")
        for layer in layers
        if isinstance(layer, dict) and (inputs := layer.get("Inputs"))
    )


def log_types(layers: Iterable[str]) -> Counter[str]:
    """The same from the log of TensorRT-RTX's builder, whose plans load on their target only."""
    return _count(word for text in layers for word in _LOGGED.findall(text))


def _count(words: Iterable[str]) -> Counter[str]:
    return Counter(
        next((name for name, spelling in _TYPES.items() if spelling.search(word)), "other") for word in words
    )


def asked_and_found(asked: Precision, types: Counter[str]) -> str | None:
    """What is wrong with what an engine computes in, or None: a type that was asked for must be there."""
    if not types:
        return "the engine does not say what its layers compute in"
    if types[asked]:
        return None
    found = ", ".join(f"{name} ({count} layers)" for name, count in types.most_common() if name != "other")
    return f"asks for {asked}, and no layer of the engine computes in it: {found or 'types unknown'}"
