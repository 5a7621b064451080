"""What an ONNX file says of frames, kept: each file made of it is compared with the same answers."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segface_edge.engines import Engine, Output
from segface_edge.engines.ort.engine import OrtEngine
from segface_edge.files import sha256_of, whole_file
from segface_edge.pictures.geometry import UInt8Array


class Answers(Engine):
    """An ONNX file in ONNX Runtime, which is not run again on frames that it was run on before.

    Running it, and a second time to see its logits, is most of a comparison's time. Logits themselves are not kept.

    Args:
        onnx: the file.
        folder: where answers are kept from one process to the next, by the file's hash; None: they are not.
    """

    def __init__(self, onnx: Path, folder: Path | None) -> None:
        self._engine = OrtEngine(onnx)
        self.source, self.spec, self.device = str(onnx), self._engine.spec, self._engine.device
        kept = folder is not None and "logits" not in self.spec.outputs
        self._place = folder / f"{sha256_of(onnx)}.npz" if folder is not None and kept else None
        self._known: dict[str, Any] = {}  # arrays
        if self._place is not None and self._place.is_file():
            with np.load(self._place) as kept_there:
                self._known = dict(kept_there)
        self._before = len(self._known)

    def infer(self, frames: UInt8Array, landmarks: npt.NDArray[np.float32] | None = None) -> Output:
        """As the file's engine; see `Engine.infer`."""
        if self._place is None or landmarks is not None:
            return self._engine.infer(frames, landmarks)
        key = _key(frames)
        if f"{key}.labels" not in self._known:
            found = self._engine.infer(frames)
            self._known[f"{key}.labels"] = found.labels
            if found.confidence is not None:
                self._known[f"{key}.confidence"] = found.confidence
        return Output(self._known[f"{key}.labels"], self._known.get(f"{key}.confidence"))

    def run(self, frames: UInt8Array) -> Output:
        """As the file's engine."""
        return self._engine.run(frames)

    def finite(self, frames: UInt8Array) -> bool | None:
        """As the file's engine. Only that all is finite is kept."""
        key = f"{_key(frames)}.finite"
        if key in self._known:
            return True
        found = self._engine.finite(frames)
        if found and self._place is not None:
            self._known[key] = np.array(True)
        return found

    def describe(self) -> dict[str, object]:
        """As the file's engine."""
        return self._engine.describe()

    def close(self) -> None:
        """Frees the engine, and keeps what it answered."""
        self._engine.close()
        if self._place is not None and len(self._known) > self._before:
            with whole_file(self._place) as temporary, temporary.open("wb") as file:
                np.savez(file, **self._known)


def _key(frames: UInt8Array) -> str:
    return hashlib.sha256(frames.tobytes()).hexdigest()
