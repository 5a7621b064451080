"""Tensors of the Open Inference Protocol, version 2: JSON, or bytes behind it (NVIDIA's binary extension).

https://github.com/kserve/open-inference-protocol and, of bytes,
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from starlette.responses import Response

from segface_edge.files import count_in

from .answers import Refused

# Of a request's head, or a response's: how many bytes of the body are JSON.
JSON_LENGTH = "Inference-Header-Content-Length"
# Of a tensor in JSON: each takes some hundred bytes while it is written down.
MOST_NUMBERS = 4_000_000
_DTYPES: dict[str, np.dtype[Any]] = {"UINT8": np.dtype(np.uint8), "FP32": np.dtype("<f4")}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


def datatype(dtype: npt.DTypeLike) -> str:
    """The protocol's name of a type."""
    return _NAMES[np.dtype(dtype)]


class Asked:
    """A request to infer.

    Args:
        body: its bytes.
        length: the header `JSON_LENGTH`, None without one: all is JSON.

    Attributes:
        id: that the answer repeats, None without one.
        inputs: tensors by name.
        wanted: outputs by name, and whether each is to be bytes; None: all there are.

    Raises:
        Refused: 400, with what is wrong.
    """

    def __init__(self, body: bytes, length: str | None) -> None:
        head, rest = body, b""
        if length is not None:
            end = count_in(length)
            if end is None or end > len(body):
                raise Refused(400, f"{JSON_LENGTH} is {length!r}, of a body of {len(body)} bytes")
            head, rest = body[:end], body[end:]
        try:
            document = json.loads(head)
        except (ValueError, RecursionError) as error:
            raise Refused(400, f"the request is not JSON ({error})") from error
        if not isinstance(document, dict):
            raise Refused(400, "the request is no JSON object")
        self.id = document.get("id")
        if self.id is not None and not isinstance(self.id, str):
            raise Refused(400, "id is no text")
        self.inputs: dict[str, npt.NDArray[Any]] = {}
        for tensor in _objects(document, "inputs"):
            size = _parameters(tensor).get("binary_data_size")
            content = None
            if size is not None:
                if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(rest):
                    raise Refused(400, f"input {tensor['name']!r}: binary_data_size is {size!r}, {len(rest)} are there")
                content, rest = rest[:size], rest[size:]
            self.inputs[tensor["name"]] = _tensor(tensor, content)
        if rest:
            raise Refused(400, f"{len(rest)} bytes of the body belong to no input")
        all_bytes = _parameters(document).get("binary_data_output", False) is True
        self.wanted: dict[str, bool] | None = None
        if document.get("outputs"):
            self.wanted = {
                tensor["name"]: _parameters(tensor).get("binary_data", all_bytes) is True
                for tensor in _objects(document, "outputs")
            }
        self.all_bytes = all_bytes


def answered(document: Mapping[str, Any], outputs: Mapping[str, tuple[npt.NDArray[Any], bool]]) -> Response:
    """The answer.

    Args:
        document: what it says besides.
        outputs: tensors by name, and whether each goes as bytes.
    """
    tensors, parts = [], []
    for name, (values, as_bytes) in outputs.items():
        tensor: dict[str, Any] = {"name": name, "datatype": datatype(values.dtype), "shape": list(values.shape)}
        if as_bytes:
            content = np.ascontiguousarray(values).tobytes()
            tensor["parameters"] = {"binary_data_size": len(content)}
            parts.append(content)
        elif values.size > MOST_NUMBERS:
            raise Refused(413, f"output {name!r} has {values.size} numbers, too many for JSON; ask for binary_data")
        else:
            tensor["data"] = values.reshape(-1).tolist()
        tensors.append(tensor)
    head = json.dumps({**document, "outputs": tensors}, separators=(",", ":")).encode()
    if not parts:
        return Response(head, media_type="application/json")
    headers = {JSON_LENGTH: str(len(head))}
    return Response(b"".join([head, *parts]), media_type="application/octet-stream", headers=headers)


def _objects(document: dict[str, Any], key: str) -> list[dict[str, Any]]:
    found = document.get(key)
    if not isinstance(found, list) or not all(
        isinstance(one, dict) and isinstance(one.get("name"), str) for one in found
    ):
        raise Refused(400, f"{key} is no list of tensors with names")
    names = [one["name"] for one in found]
    if len(set(names)) < len(names):
        raise Refused(400, f"{key} has a name twice")
    return found


def _parameters(document: dict[str, Any]) -> dict[str, Any]:
    found = document.get("parameters")
    return found if isinstance(found, dict) else {}


def _tensor(tensor: dict[str, Any], content: bytes | None) -> npt.NDArray[Any]:
    """A tensor of its description, and its bytes where they are not in there."""
    name, kind, shape = tensor["name"], tensor.get("datatype"), tensor.get("shape")
    if not isinstance(kind, str) or kind not in _DTYPES:
        raise Refused(400, f"input {name!r} is {kind!r}; there are {', '.join(_DTYPES)}")
    if not isinstance(shape, list) or not all(
        isinstance(side, int) and not isinstance(side, bool) and side >= 0 for side in shape
    ):
        raise Refused(400, f"input {name!r} has the shape {shape!r}; give a list of whole numbers")
    dtype, count = _DTYPES[kind], math.prod(shape)
    if content is not None:
        if len(content) != count * dtype.itemsize:
            raise Refused(
                400, f"input {name!r} has {len(content)} bytes, {shape} of {kind} are {count * dtype.itemsize}"
            )
        return np.frombuffer(content, dtype).reshape(shape)
    data = tensor.get("data")
    try:
        if not isinstance(data, list):
            raise TypeError
        wide = np.asarray(data, np.float64).reshape(-1)
    except (TypeError, ValueError, OverflowError) as error:
        raise Refused(400, f"input {name!r} has data that are no numbers in rows") from error
    if wide.size != count:
        raise Refused(400, f"input {name!r} has {wide.size} numbers, the shape {shape} {count}")
    if kind == "UINT8" and not (np.equal(wide, np.floor(wide)) & (wide >= 0) & (wide <= 255)).all():
        raise Refused(400, f"input {name!r} has numbers that are not UINT8")
    return wide.astype(dtype).reshape(shape)
