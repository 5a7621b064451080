"""A tiny ONNX file that keeps the product's contract, written byte by byte: the `onnx` package need not be there.

The label is the red channel // 64, at most the last class; the confidence is the green channel; the logits are
channels mixed by WEIGHTS. A 1x1 convolution makes each of them, so that an engine has convolutions to speak of.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segface_edge.spec import METADATA_KEY, ModelSpec, OutputKind, Precision

CLASSES = ("background", "skin", "hair")
WEIGHTS = np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.25], [0.5, 0.0, 1.0]], np.float32)
# TensorProto.DataType.
_FLOAT, _UINT8, _INT64 = 1, 2, 7


def tiny_spec(
    *,
    batch: int | None = None,
    size: int = 32,
    outputs: Sequence[OutputKind] = ("labels",),
    precision: Precision = "fp32",
) -> ModelSpec:
    """What `tiny_model` writes into its file."""
    return ModelSpec(
        backbone="none",
        graph="deploy",
        size=size,
        batch=batch,
        label_order="own",
        classes=CLASSES,
        outputs=tuple(outputs),
        precision=precision,
    )


def expected(frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The labels of FRAMES, (N, S, S, 3)."""
    return np.minimum(frames[..., 0] // 64, len(CLASSES) - 1)


def tiny_model(
    path: Path,
    *,
    batch: int | None = None,
    size: int = 32,
    outputs: Sequence[OutputKind] = ("labels",),
    precision: Precision = "fp32",
) -> Path:
    """Writes the file; its arithmetic is fp32 whatever PRECISION its metadata states."""
    spec = tiny_spec(batch=batch, size=size, outputs=outputs, precision=precision)
    n: int | str = "N" if batch is None else batch
    nodes = [
        _node("Cast", ["frames"], ["pixels"], _attribute("to", _FLOAT)),
        _node("Transpose", ["pixels"], ["planes"], _attribute("perm", [0, 3, 1, 2])),
    ]
    constants = []
    if "labels" in outputs:
        constants += [
            _constant("zero", np.array(0, np.float32), _FLOAT),
            _constant("last", np.array(len(CLASSES) - 1, np.float32), _FLOAT),
        ]
    if set(outputs) != {"logits"}:
        constants.append(_constant("axis", np.array([1], np.int64), _INT64))
    values = []
    for output in outputs:
        weights = {
            "labels": np.array([[1 / 64, 0, 0]], np.float32),
            "confidence": np.array([[0, 1, 0]], np.float32),
            "logits": WEIGHTS,
        }[output]
        constants.append(_constant(f"{output}_weights", weights[:, :, None, None], _FLOAT))
        logits = output == "logits"
        nodes.append(
            _node(
                "Conv", ["planes", f"{output}_weights"], ["logits" if logits else f"{output}_plane"], name=f"/{output}"
            )
        )
        if logits:
            values.append(_value(output, _FLOAT, [n, len(CLASSES), size, size]))
            continue
        last = f"{output}_plane"
        if output == "labels":
            nodes.append(_node("Floor", [last], ["floor"]))
            nodes.append(_node("Clip", ["floor", "zero", "last"], ["clipped"]))
            last = "clipped"
        nodes.append(_node("Squeeze", [last, "axis"], [f"{output}_map"]))
        nodes.append(_node("Cast", [f"{output}_map"], [output], _attribute("to", _UINT8)))
        values.append(_value(output, _UINT8, [n, size, size]))
    graph = (
        b"".join(_field(1, node) for node in nodes)
        + _field(2, b"tiny")
        + b"".join(_field(5, c) for c in constants)
        + _field(11, _value("frames", _UINT8, [n, size, size, 3]))
        + b"".join(_field(12, value) for value in values)
    )
    model = (
        _field(1, 8)
        + _field(2, b"segface-edge tests")
        + _field(7, graph)
        + _field(8, _field(2, 18))
        + _field(14, _field(1, METADATA_KEY.encode()) + _field(2, spec.to_json().encode()))
    )
    path.write_bytes(model)
    return path


def _varint(value: int) -> bytes:
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def _field(number: int, value: int | bytes) -> bytes:
    """One field of a protobuf message: a number, or bytes with their length."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _node(operator: str, inputs: list[str], outputs: list[str], *attributes: bytes, name: str = "") -> bytes:
    return (
        b"".join(_field(1, text.encode()) for text in inputs)
        + b"".join(_field(2, text.encode()) for text in outputs)
        + _field(3, (name or f"/{operator}/{outputs[0]}").encode())
        + _field(4, operator.encode())
        + b"".join(_field(5, attribute) for attribute in attributes)
    )


def _attribute(name: str, value: int | list[int]) -> bytes:
    if isinstance(value, int):
        return _field(1, name.encode()) + _field(3, value) + _field(20, 2)
    return _field(1, name.encode()) + b"".join(_field(8, item) for item in value) + _field(20, 7)


def _constant(name: str, value: npt.NDArray[Any], kind: int) -> bytes:
    sizes = b"".join(_field(1, side) for side in value.shape)
    return sizes + _field(2, kind) + _field(8, name.encode()) + _field(9, np.ascontiguousarray(value).tobytes())


def _value(name: str, kind: int, shape: list[int | str]) -> bytes:
    sides = b"".join(_field(1, _field(1, s) if isinstance(s, int) else _field(2, s.encode())) for s in shape)
    return _field(1, name.encode()) + _field(2, _field(1, _field(1, kind) + _field(2, sides)))
