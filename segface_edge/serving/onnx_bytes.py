"""Parts of an ONNX file, a protobuf message, read and rewritten; onnx, which would do it too, is no package of the
runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterator

# Numbers of fields in onnx.proto.
_MODEL_GRAPH = 7
_GRAPH_NODE, _NODE_NAME, _NODE_TYPE = 1, 3, 4
_GRAPH_INPUT, _GRAPH_OUTPUT, _GRAPH_VALUE_INFO = 11, 12, 13
_INFO_TYPE, _TYPE_TENSOR, _TENSOR_SHAPE, _SHAPE_DIM = 2, 1, 2, 1
_DIM_VALUE, _DIM_PARAM = 1, 2
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

Field = tuple[int, int, bytes]  # number, wire type, content


def any_size(content: bytes) -> bytes:
    """An ONNX file's bytes with free sides: each dimension over 16 of inputs and outputs, whatever is said in between.

    The bundled YuNet says 640 x 640; OpenCV overlooks that, ONNX Runtime does not. Its nodes do for any size.

    Raises:
        ValueError: it is no such file.
    """
    return _changed(content, _MODEL_GRAPH, _graph)


def names_of(content: bytes, kind: str) -> list[str]:
    """Names of an ONNX file's nodes of one type, of those that have any. Raises ValueError: it is no such file."""
    found = []
    for _, graph in _messages(content, _MODEL_GRAPH):
        for _, node in _messages(graph, _GRAPH_NODE):
            fields = {number: value for number, _, value in _fields(node)}
            if fields.get(_NODE_TYPE) == kind.encode() and fields.get(_NODE_NAME):
                found.append(fields[_NODE_NAME].decode())
    return found


def _messages(message: bytes, number: int) -> Iterator[tuple[int, bytes]]:
    return ((field, value) for field, kind, value in _fields(message) if field == number and kind == _BYTES)


def _graph(content: bytes) -> bytes:
    kept = b"".join(_packed(*field) for field in _fields(content) if field[0] != _GRAPH_VALUE_INFO)
    names = iter(range(1000))

    def free(dim: bytes) -> bytes:
        ((number, kind, value),) = list(_fields(dim))
        if number == _DIM_VALUE and kind == _VARINT and _varint(value, 0)[0] > 16:
            return _packed(_DIM_PARAM, _BYTES, b"side_%d" % next(names))
        return dim

    def info(message: bytes) -> bytes:
        path = (_INFO_TYPE, _TYPE_TENSOR, _TENSOR_SHAPE, _SHAPE_DIM)
        change: Callable[[bytes], bytes] = free
        for number in reversed(path):
            change = _at(number, change)
        return change(message)

    return _changed(_changed(kept, _GRAPH_INPUT, info), _GRAPH_OUTPUT, info)


def _at(number: int, change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda message: _changed(message, number, change)


def _changed(message: bytes, number: int, change: Callable[[bytes], bytes]) -> bytes:
    """A message in which the messages of one field are changed."""
    return b"".join(
        _packed(field, kind, change(value) if field == number and kind == _BYTES else value)
        for field, kind, value in _fields(message)
    )


def _fields(message: bytes) -> Iterator[Field]:
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == _VARINT:
            end = _varint(message, at)[1]
        elif kind == _BYTES:
            length, at = _varint(message, at)
            end = at + length
        elif kind in (_FIXED32, _FIXED64):
            end = at + (4 if kind == _FIXED32 else 8)
        else:
            raise ValueError("no protobuf message")
        if end > len(message):
            raise ValueError("no protobuf message")
        yield key >> 3, kind, message[at:end]
        at = end


def _packed(number: int, kind: int, value: bytes) -> bytes:
    length = _as_varint(len(value)) if kind == _BYTES else b""
    return _as_varint(number << 3 | kind) + length + value


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """A number, and where the next field begins."""
    value = shift = 0
    while True:
        if at >= len(message) or shift > 63:
            raise ValueError("no protobuf message")
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def _as_varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)
