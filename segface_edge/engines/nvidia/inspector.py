"""What an engine's layers compute in, read back from NVIDIA's own account of them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from segface_edge.errors import IncompatibleEngineError
from segface_edge.spec import ModelSpec, Precision

from .contract import check_contract, read_tensors
from .fit import driver_fault
from .log import listening, start

# NVIDIA's spellings, by version: "Row major linear FP32", "Float". The narrowest of a layer's inputs is what it
# computes in.
_TYPES = {
    "int8": re.compile(r"\bInt8\b", re.IGNORECASE),
    "fp16": re.compile(r"\b(FP16|Half)\b", re.IGNORECASE),
    "fp32": re.compile(r"\b(FP32|Float)\b", re.IGNORECASE),
}
OTHER = "other"
# Nearly all of the work: convolutions and matrix products, by NVIDIA's names.
_PRODUCTS = re.compile(r"conv|correlation|gemm|matmul|matrix_?multiply|fully", re.IGNORECASE)
# They move values and compute nothing.
_MOVES = re.compile(r"reformat|constant|shuffle|noop|no_op|slice|cast|identity|signal|wait", re.IGNORECASE)
# Of TensorRT-RTX's log: the type of a layer's first input.
_LOGGED = re.compile(r"LayerType: (\w+), Inputs: \[ \{.*?Datatype: (\w+)")


@dataclass(frozen=True)
class LayerTypes:
    """How many layers compute in a precision; empty where the engine does not say.

    Attributes:
        layers: all that compute, by the narrowest type of their inputs.
        products: convolutions and matrix products among them, as far as they can be told.
    """

    layers: Counter[str]
    products: Counter[str]

    @property
    def known(self) -> bool:
        """Whether there is anything to go by."""
        return any(count for name, count in self.layers.items() if name != OTHER)


def layer_types(trt: ModuleType, plan: bytes, spec: ModelSpec, subject: Path) -> LayerTypes:
    """What a plan says; the GPU's context is current.

    Args:
        trt: TensorRT's module.
        plan: that was just built.
        spec: of the file that it was built from.
        subject: that file, for messages.

    Raises:
        IncompatibleEngineError: the plan cannot be loaded, or takes or gives something else than the file.
        MissingDependencyError: the driver does not run what TensorRT needs.
    """
    with listening(trt) as (log, record):
        runtime = start(trt.Runtime, log, record, subject)
        runtime.engine_host_code_allowed = True  # a version-compatible plan brings code: it was built here
        engine = runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise driver_fault(subject, record) or IncompatibleEngineError(
                subject,
                f"was built, and cannot be loaded ({record.last_error()})",
                "report it with the version of TensorRT",
            )
        report = "report it with the version of TensorRT"
        check_contract(read_tensors(trt, engine), spec, subject, has="the engine built of it has", cure=report)
        text = engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
    return _types(text)


def _types(text: str) -> LayerTypes:
    try:
        layers = json.loads(text).get("Layers", [])
    except (ValueError, AttributeError):
        layers = []
    return _counted(
        (
            f"{layer.get('LayerType', '')} {layer.get('ParameterType', '')}",
            [str(one.get("Format/Datatype") or one.get("Datatype") or "") for one in layer["Inputs"]],
        )
        for layer in layers
        if isinstance(layer, dict) and layer.get("Inputs")
    )


def log_types(layers: Iterable[str]) -> LayerTypes:
    """The same from the log of TensorRT-RTX's builder, whose plans load on their target only."""
    return _counted((kind, [word]) for text in layers for kind, word in _LOGGED.findall(text))


def _counted(layers: Iterable[tuple[str, list[str]]]) -> LayerTypes:
    """Of kinds and types of inputs."""
    computing = [(kind, _narrowest(words)) for kind, words in layers if not _MOVES.search(kind)]
    return LayerTypes(
        Counter(name for _, name in computing), Counter(name for kind, name in computing if _PRODUCTS.search(kind))
    )


def _narrowest(words: Iterable[str]) -> str:
    words = list(words)
    return next((name for name, spelling in _TYPES.items() if any(map(spelling.search, words))), OTHER)


def found_fault(asked: Precision, types: LayerTypes) -> str | None:
    """What is wrong with what an engine computes in, or None.

    Of its products, where they can be told, else of all layers: some must be of the type that was asked for, and those
    in fp32 no more than islands in what is lower. Where the engine tells of no type, nothing is known to be wrong.
    """
    counts = types.products if any(name != OTHER for name in types.products) else types.layers
    known = Counter({name: count for name, count in counts.items() if name != OTHER})
    found = ", ".join(f"{name} ({count} layers)" for name, count in known.most_common())
    if not known:
        return None
    if not known[asked]:
        return f"asks for {asked}, and no layer of the engine computes in it: {found}"
    if asked != "fp32" and known["fp32"] > known["fp16"] + known["int8"]:
        return f"asks for {asked}, and most layers of the engine compute in fp32: {found}"
    return None
