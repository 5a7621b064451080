"""The nodes of an ONNX file from its bytes, and the file with more outputs: without the package `onnx`, which need not
be there where a file is run or a plan built.

Of protobuf's format two things are used: a message is a row of numbered fields, and of a message that is written in two
parts, one behind the other, lists are joined.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

# Numbers of fields in onnx.proto.
_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_OUTPUT, _VALUE_NAME = 1, 12, 1
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _NODE_OPERATOR = 1, 2, 3, 4
# Kinds of fields: a number, eight bytes, something with its length before it, four bytes.
_NUMBER, _EIGHT, _SIZED, _FOUR = 0, 1, 2, 5


@dataclass(frozen=True, kw_only=True)
class Node:
    """An operator of a graph.

    Attributes:
        name: may be empty.
        operator: its kind, `Conv`.
        inputs, outputs: names of tensors; an input that is left out is empty.
    """

    name: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def read_nodes(content: bytes) -> list[Node]:
    """Those of the graph itself, in order; not those inside of an `If` or a `Loop`.

    Args:
        content: of an ONNX file that ONNX Runtime reads.
    """
    found = []
    for graph in _parts(memoryview(content), _MODEL_GRAPH):
        for node in _parts(graph, _GRAPH_NODE):
            texts: dict[int, list[str]] = {}
            for number, value in _fields(node):
                if number in (_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _NODE_OPERATOR):
                    texts.setdefault(number, []).append(bytes(value).decode())
            found.append(
                Node(
                    name="".join(texts.get(_NODE_NAME, [])),
                    operator="".join(texts.get(_NODE_OPERATOR, [])),
                    inputs=tuple(texts.get(_NODE_INPUT, [])),
                    outputs=tuple(texts.get(_NODE_OUTPUT, [])),
                )
            )
    return found


def with_outputs(content: bytes, names: Collection[str]) -> bytes:
    """The file with tensors of its graph as further outputs; ONNX Runtime finds their types and shapes itself.

    Args:
        content: as for `read_nodes`.
        names: of tensors; those that are outputs already stay so.
    """
    outputs = {
        bytes(name).decode()
        for graph in _parts(memoryview(content), _MODEL_GRAPH)
        for output in _parts(graph, _GRAPH_OUTPUT)
        for name in _parts(output, _VALUE_NAME)
    }
    more = b"".join(_sized(_GRAPH_OUTPUT, _sized(_VALUE_NAME, name.encode())) for name in names if name not in outputs)
    return content + _sized(_MODEL_GRAPH, more)


def _parts(message: memoryview, wanted: int) -> Iterator[memoryview]:
    return (value for number, value in _fields(message) if number == wanted)


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Numbers and contents of the fields that have a length; all others are passed over."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == _NUMBER:
            _, at = _varint(message, at)
        elif kind == _SIZED:
            size, at = _varint(message, at)
            yield key >> 3, message[at : at + size]
            at += size
        else:
            at += {_EIGHT: 8, _FOUR: 4}[kind]


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and where it ends."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _sized(number: int, content: bytes) -> bytes:
    head = b""
    for value in (number << 3 | _SIZED, len(content)):
        rest = value
        while rest >= 0x80:
            head += bytes([rest & 0x7F | 0x80])
            rest >>= 7
        head += bytes([rest])
    return head + content
