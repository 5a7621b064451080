"""The engine ncnn: files of `export --target ncnn`, on the CPU. The argmax, which ncnn has not, is made here."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Any

import ncnn
import numpy as np
import numpy.typing as npt

from segface_edge.errors import IncompatibleEngineError, UsageError
from segface_edge.pictures.geometry import UInt8Array

from .base import Engine, Output, cores
from .sidecar import read_sidecar

# The blobs' names as pnnx gives them.
INPUT, OUTPUT = "in0", "out0"


class NcnnEngine(Engine):
    """A model file in ncnn. Runs of one engine take turns.

    Computed in fp32, also where the file's weights are fp16: left to itself, ncnn takes half precision on CPUs that
    have it.

    Args:
        path: a `.param` of `export --target ncnn`, with its `.bin` and `.param.json` beside it.
        device: `cpu`.
        threads: None: one per core.

    Raises:
        ModelFileError: a file is absent.
        IncompatibleEngineError: it says nothing of itself, was damaged, or is not what ncnn reads.
        UsageError: another device.
    """

    def __init__(self, path: Path, *, device: str = "cpu", threads: int | None = None) -> None:
        if device != "cpu":
            raise UsageError(f"device {device!r}", "this engine runs on the CPU", "use cpu")
        self.source, self.device, self.threads = str(path), device, threads or cores() or 1
        self.spec = read_sidecar(path).spec
        self._turn = Lock()
        net = ncnn.Net()
        net.opt.num_threads = self.threads
        for name in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
            setattr(net.opt, f"use_{name}", False)
        failed = net.load_param(str(path)) or net.load_model(str(path.with_suffix(".bin")))
        if failed or list(net.input_names()) != [INPUT] or list(net.output_names()) != [OUTPUT]:
            raise IncompatibleEngineError(
                self.source, "is no net that ncnn reads", "export it again: segface-edge export --target ncnn"
            )
        self._net: Any = net

    def run(self, frames: UInt8Array) -> Output:
        """Runs (N, S, S, 3) uint8 RGB, one after another."""
        with self._turn:
            if self._net is None:
                raise UsageError(self.source, "is closed", "open it again")
            logits = np.stack([self._logits(frame) for frame in frames])
        best = logits.argmax(1)
        confidence = None
        if "confidence" in self.spec.outputs:
            largest = logits.max(1, keepdims=True)
            confidence = np.rint(255 / np.exp(logits - largest).sum(1)).astype(np.uint8)
        return Output(best.astype(np.uint8), confidence, logits if "logits" in self.spec.outputs else None)

    def _logits(self, frame: UInt8Array) -> npt.NDArray[np.float32]:
        """(S, S, 3) uint8 -> (K, S, S) float32."""
        planes = np.ascontiguousarray(frame.transpose(2, 0, 1), np.float32)
        extractor = self._net.create_extractor()
        extractor.input(INPUT, ncnn.Mat(planes))  # a view: `planes` must live until the net has run
        failed, found = extractor.extract(OUTPUT)
        logits = np.array(found)
        side = self.spec.size
        if failed or logits.shape != (len(self.spec.classes), side, side):
            raise IncompatibleEngineError(
                self.source,
                f"gave {'nothing' if failed else logits.shape} in ncnn",
                "export it again: segface-edge export --target ncnn",
            )
        return logits

    def finite(self, frames: UInt8Array) -> bool | None:
        """Whether all logits are finite."""
        with self._turn:
            return all(bool(np.isfinite(self._logits(frame)).all()) for frame in frames)

    def describe(self) -> dict[str, object]:
        """For reports."""
        return {"runtime": "ncnn", "version": ncnn.__version__, "threads": self.threads}

    def close(self) -> None:
        """Frees the net."""
        with self._turn:
            self._net = None
