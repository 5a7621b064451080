"""As much of an ONNX file as the fakes need, without the `onnx` package."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import onnxruntime

from segface_edge.spec import METADATA_KEY


@dataclass(frozen=True)
class Node:
    """One operator of the graph."""

    name: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Tensor:
    """An input or output. A dimension is a number, or the name of what it stands for."""

    name: str
    shape: tuple[int | str, ...]
    kind: str


def open_session(content: bytes) -> onnxruntime.InferenceSession:
    """One thread, no optimisation, no words."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def tensors(entries: Any) -> tuple[Tensor, ...]:
    """What a session says of its inputs or outputs."""
    return tuple(
        Tensor(
            entry.name,
            tuple(d if isinstance(d, int) else str(d or f"{entry.name}.{i}") for i, d in enumerate(entry.shape)),
            entry.type,
        )
        for entry in entries
    )


def precision(session: onnxruntime.InferenceSession) -> str:
    """What the file's ModelSpec says, fp32 where there is none."""
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY, "{}")
    try:
        return str(json.loads(text).get("precision", "fp32"))
    except (ValueError, AttributeError):
        return "fp32"


def _fields(content: memoryview) -> Iterator[tuple[int, Any]]:
    """Numbers and values of a protobuf message."""

    def varint(at: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            byte = content[at]
            value |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if byte < 0x80:
                return value, at

    at = 0
    while at < len(content):
        key, at = varint(at)
        kind = key & 7
        if kind == 0:
            value, at = varint(at)
            yield key >> 3, value
        else:
            size, at = (8, at) if kind == 1 else (4, at) if kind == 5 else varint(at)
            yield key >> 3, content[at : at + size]
            at += size


def nodes(content: bytes) -> list[Node]:
    """ModelProto.graph (7), GraphProto.node (1), NodeProto.input, output, name and op_type (1 to 4)."""
    found = []
    for number, graph in _fields(memoryview(content)):
        if number != 7:
            continue
        for inner, node in _fields(graph):
            if inner != 1:
                continue
            texts: dict[int, list[str]] = {1: [], 2: [], 3: [], 4: []}
            for part, value in _fields(node):
                if part in texts:
                    texts[part].append(bytes(value).decode())
            found.append(Node("".join(texts[3]), "".join(texts[4]), tuple(texts[1]), tuple(texts[2])))
    return found
