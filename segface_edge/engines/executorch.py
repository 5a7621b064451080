"""The engine executorch: PyTorch's runtime for devices, for files of `export --target executorch`.

Its Python bindings need torch; on a device it does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch

# Its bindings themselves: `executorch.runtime`, a thin layer over them, imports the whole exporter (4 seconds of CPU
# time), and leaves out the threads.
from executorch.extension.pybindings import _C

from segface_edge.errors import IncompatibleEngineError, UsageError
from segface_edge.pictures.geometry import UInt8Array

from .base import Engine, Output, cores
from .native_words import native_words
from .ort.subnormals import flushed
from .program import count_calls
from .promise import Tensor, check_promise, given, promised_tensors
from .sidecar import read_sidecar

VERSION = version("executorch")
_METHOD = "forward"
# c10's numbers of types.
_DTYPES = {0: np.uint8, 6: np.float32}
_CURE = "export it again: segface-edge export --target executorch"


class ExecuTorchEngine(Engine):
    """A .pte file in ExecuTorch, on the CPU: XNNPACK computes what it was given at export, portable kernels the rest.

    One frame a call. Runs of one engine take turns.

    Args:
        path: a file of `export --target executorch`, with its document beside it.
        device: `cpu`.
        threads: None is one per core. ExecuTorch has one pool of threads for a whole process: the engine that was
            opened last decides.

    Raises:
        ModelFileError: the file is absent.
        IncompatibleEngineError: it has no document, or one that it or its own inputs and outputs belie; or this
            ExecuTorch cannot run it, which may lack a backend or an operator.
        UsageError: another device.
    """

    max_batch = 1

    def __init__(self, path: Path, *, device: str = "cpu", threads: int | None = None) -> None:
        self.source, self.device = str(path), device
        if device != "cpu":
            raise UsageError(f"device {device!r}", "is none that ExecuTorch is run on here", "use cpu")
        self._threads = threads or cores() or 1
        self.spec = read_sidecar(path).spec
        content = path.read_bytes()
        self._turn = Lock()
        self._kept: Any = None
        self._method: Any = self._opened(content)
        self._check()
        self._calls = count_calls(content)

    def _opened(self, content: bytes) -> Any:
        problem: Exception | None = None
        method = None
        with native_words() as words:
            try:
                if _C._threadpool_get_thread_count() != self._threads:
                    _C._unsafe_reset_threadpool(self._threads)
                program = _C._load_program_from_buffer(
                    content, program_verification=_C.Verification.InternalConsistency
                )
                method = program.load_method(_METHOD)
                # A method keeps neither its program nor the bytes that both read.
                self._kept = program, content
            except RuntimeError as error:
                problem = error
        if problem is None:
            return method
        told = _brief(problem, words)
        raise IncompatibleEngineError(self.source, f"ExecuTorch {VERSION} cannot run it ({told})", _CURE) from problem

    def _check(self) -> None:
        """Holds its ends, which have no names, against what is promised."""
        about = self._method.method_meta()
        inputs = [about.input_tensor_meta(place) for place in range(about.num_inputs())]
        outputs = [about.output_tensor_meta(place) for place in range(about.num_outputs())]
        feed, *found = promised_tensors(self.spec)
        names = [name for name, *_ in found]
        check_promise(self.spec, self.source, _tensors(inputs, feed[:1]), _tensors(outputs, names))

    def run(self, frames: UInt8Array) -> Output:
        """Runs (1, S, S, 3) uint8 RGB."""
        with self._turn:
            if self._method is None:
                raise UsageError(self.source, "is closed", "open it again")
            try:
                with flushed():
                    # PyTorch warns of arrays that it may not write to.
                    values = self._method([torch.from_numpy(np.require(frames, requirements=["C", "W"]))])
            except RuntimeError as error:
                raise IncompatibleEngineError(self.source, f"ExecuTorch failed to run it ({error})", _CURE) from error
        return given(self.spec, [value.numpy() for value in values])

    def describe(self) -> dict[str, object]:
        """Runtime, version, threads, the delegate or None, how often the file calls it, and the portable kernels that
        it calls, by their operator."""
        return {"runtime": "executorch", "version": VERSION, "threads": self._threads, **self._calls}

    def close(self) -> None:
        """Frees the model."""
        with self._turn:
            self._method = self._kept = None


def _tensors(ends: Sequence[Any], names: Sequence[str]) -> list[Tensor]:
    called = [*names, *(f"further {place}" for place in range(len(ends)))]
    return [
        (name, _DTYPES.get(end.dtype(), f"type {end.dtype()}"), tuple(end.sizes()))
        for name, end in zip(called, ends, strict=False)
    ]


def _brief(error: Exception, words: Sequence[str]) -> str:
    """The first that ExecuTorch said, the reason, without where in its sources: its exceptions have numbers."""
    said = [line.partition("] ")[2] for line in words if line.startswith("[") and "cpuinfo" not in line]
    return (said[0] if said else " ".join(str(error).split()))[:300]
