"""ONNX files: fields of their messages changed, and bytes; what they say of themselves with them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import numpy as np

from segface_edge.engines import open_engine
from segface_edge.engines.ort.metadata import read_metadata
from segface_edge.serving.onnx_bytes import any_size, names_of
from segface_edge.spec import METADATA_KEY
from tests.fuzz.mutate import changed_bytes, changed_json
from tests.nvidia.tiny import _field, tiny_model, tiny_spec

Field = tuple[int, int, bytes]
_VARINT, _BYTES = 0, 2
_METADATA = 14
# Numbers that graphs hold: types, axes, sizes.
_NUMBERS = (0, 1, 2, 3, 7, 9, 10, 11, 16, 32, 64, 255, 4096, 2**31 - 1, 2**31, 2**32, 2**63 - 1, 2**64 - 1)
_WORDS = (
    b"",
    b"frames",
    b"labels",
    b"logits",
    b"Relu",
    b"Loop",
    b"If",
    b"Identity",
    b"Reshape",
    b"Tile",
    b"com.x",
    b"Resize",
    b"Gather",
    b"Cast",
    b"Conv",
    b"Concat",
    b"Expand",
    b"\xff\xfe",
    b"x" * 300,
    b"planes",
    b"zero",
)


def _fields(message: bytes) -> Iterator[Field]:
    """Number, wire type and content. Raises ValueError."""
    at = 0

    def varint() -> int:
        nonlocal at
        found = shift = 0
        while at < len(message) and shift < 70:
            byte = message[at]
            at += 1
            found |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return found
        raise ValueError

    while at < len(message):
        key = varint()
        kind, start = key & 7, at
        if kind == _VARINT:
            varint()
        elif kind == _BYTES:
            size = varint()
            start, at = at, at + size
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise ValueError
        if at > len(message) or not key >> 3:
            raise ValueError
        yield key >> 3, kind, message[start:at]


def _varint(value: int) -> bytes:
    out = b""
    while value >= 128:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def _joined(fields: list[Field]) -> bytes:
    return b"".join(
        _varint(number << 3 | kind) + (_varint(len(value)) if kind == _BYTES else b"") + value
        for number, kind, value in fields
    )


def changed_message(random: Random, message: bytes, depth: int = 0) -> bytes:
    """A message one of whose fields, or of their fields, is changed."""
    try:
        fields = list(_fields(message))
    except ValueError:
        return changed_bytes(random, message)
    if not fields:
        return message
    at = random.randrange(len(fields))
    number, kind, value = fields[at]
    what = random.randrange(12)
    if kind == _BYTES and value and depth < 6 and what < 8:
        fields[at] = number, kind, changed_message(random, value, depth + 1)
    elif what < 6:
        if kind == _VARINT:
            value = _varint(random.choice(_NUMBERS))
        elif kind == _BYTES:
            value = random.choice(_WORDS) if random.random() < 0.6 else changed_bytes(random, value)
        else:
            value = random.randbytes(len(value))
        fields[at] = number, kind, value
    elif what == 8:
        del fields[at]
    elif what == 9:
        fields.insert(random.randrange(len(fields)), fields[at])
    elif what == 10:
        other = random.randrange(len(fields))
        fields[at], fields[other] = fields[other], fields[at]
    else:
        fields[at] = random.randrange(1, 30), kind, value
    return _joined(fields)


def models(folder: Path) -> list[bytes]:
    """Small files of each kind."""
    outputs = (("labels",), ("labels", "confidence"), ("logits",))
    return [tiny_model(folder / "seed.onnx", outputs=one).read_bytes() for one in outputs]  # type: ignore[arg-type]


class Fuzz:
    def __init__(self, folder: Path, argument: str) -> None:
        self.path = folder / "model.onnx"
        self.seeds = models(folder)
        self.document = {"version": 1, **json.loads(tiny_spec().to_json())}
        self.run: Callable[[bytes], None] = self._parts if argument else self._open

    def make(self, random: Random) -> bytes:
        content = random.choice(self.seeds)
        if random.random() < 0.25:
            said = changed_json(random, self.document).encode(errors="replace")
            kept = [field for field in _fields(content) if field[0] != _METADATA]
            return _joined(kept) + _field(_METADATA, _field(1, METADATA_KEY.encode()) + _field(2, said))
        for _ in range(1 + int(random.expovariate(1))):
            content = changed_message(random, content)
        return content if random.random() < 0.9 else changed_bytes(random, content, self.seeds)

    def _open(self, given: bytes) -> None:
        self.path.write_bytes(given)
        read_metadata(self.path)
        with open_engine(self.path, threads=1) as engine:
            size = engine.spec.size
            if size > 256:
                return
            frames = np.zeros((engine.spec.batch or 1, size, size, 3), np.uint8)
            labels = engine.infer(frames[:4]).labels
            assert labels.dtype == np.uint8
            assert labels.shape == (len(frames[:4]), size, size)

    def _parts(self, given: bytes) -> None:
        with suppress(ValueError):  # as it says
            names_of(given, "Conv")
        with suppress(ValueError):
            any_size(given)
