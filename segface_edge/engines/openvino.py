"""The engine openvino: Intel's runtime, for ONNX files as they are and for files of `export --target openvino`."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import openvino

from segface_edge.errors import IncompatibleEngineError, ModelFileError, UsageError
from segface_edge.files import count_in
from segface_edge.pictures.geometry import UInt8Array

from .base import WARP_OUTSIDE, Engine, Output
from .ort.metadata import read_metadata
from .promise import Tensor, check_promise, fed, given
from .sidecar import read_sidecar

# What a file of `export --target openvino` calls the node that reads what its argmax is of.
LARGEST = "largest of "
VERSION: str = openvino.__version__.partition("-")[0]
# OpenVINO's names of devices by ours. `AUTO` and the like, which choose by themselves, are not among them.
_DEVICES = {"cpu": "CPU", "gpu": "GPU", "npu": "NPU"}
_DTYPES = {"u8": np.uint8, "f32": np.float32}


@cache
def _core() -> Any:
    """OpenVINO, once a process, and never freed: its CPU plugin gives the thread that loads it a stack for signals, and
    takes it back in the thread that frees it. Where these are two, the next signal (a child's end, Ctrl-C) ends the
    process (seen in 2026.4)."""
    return openvino.Core()


class OpenVINOEngine(Engine):
    """A model file in OpenVINO.

    Computed in the precision that the file says: left to itself, OpenVINO takes bfloat16 on CPUs that have it, which
    turns one label in a thousand. Runs of one engine take turns. Its cache of compiled models is off: it is keyed by a
    file's path, size and whole seconds, and would take one model for another.

    Args:
        path: an ONNX file that segface-edge wrote, or an `.xml` of `export --target openvino`, with what belongs to it.
        device: `cpu`; or `gpu`, `gpu:N`, `npu` of Intel's (unverified until run on one). Never another than asked for.
        threads: None leaves it to OpenVINO (one per physical core).

    Raises:
        ModelFileError: a file is absent or damaged.
        IncompatibleEngineError: it says nothing of itself, or what its own inputs and outputs belie; or OpenVINO
            cannot run it.
        UsageError: an unknown device, or one that is not in this machine.
    """

    def __init__(self, path: Path, *, device: str = "cpu", threads: int | None = None) -> None:
        self.source, self.device = str(path), device
        self._core = _core()
        self._name = _device(self._core, device)
        self.spec = read_sidecar(path).spec if path.suffix.lower() == ".xml" else read_metadata(path).spec
        if self.spec.warp == "inside":
            raise IncompatibleEngineError(
                self.source, "warps faces itself, which this engine does not run", WARP_OUTSIDE
            )
        self._model = self._read(path)
        check_promise(self.spec, self.source, _tensors(self._model.inputs), _tensors(self._model.outputs))
        options = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1", "INFERENCE_PRECISION_HINT": "f32"}
        if threads is not None and self._name == "CPU":
            options["INFERENCE_NUM_THREADS"] = str(threads)
        self._options = options
        self._turn = Lock()
        self._compiled: Any = self._compile(self._model)
        self._request: Any = self._compiled.create_infer_request()
        self._seen: Any = None

    def _read(self, path: Path) -> Any:
        try:
            return self._core.read_model(path)
        except Exception as error:  # OpenVINO's errors are RuntimeError, and what pybind11 makes of others
            raise ModelFileError(path, f"OpenVINO cannot read it ({_brief(error)})", "export it again") from error

    def _compile(self, model: Any) -> Any:
        try:
            return self._core.compile_model(model, self._name, self._options)
        except Exception as error:
            raise IncompatibleEngineError(
                self.source, f"OpenVINO cannot run it on {self._name} ({_brief(error)})", "use another engine"
            ) from error

    def run(self, frames: UInt8Array) -> Output:
        """Runs (N, S, S, 3) uint8 RGB."""
        with self._turn:
            if self._request is None:
                raise UsageError(self.source, "is closed", "open it again")
            return given(self.spec, self._values(self._request, frames))

    def _values(self, request: Any, frames: UInt8Array) -> list[Any]:
        """Copies of what a request gives: its own memory is overwritten by the next run."""
        try:
            found = request.infer([fed(self.spec, np.ascontiguousarray(frames))])
        except Exception as error:
            raise IncompatibleEngineError(
                self.source, f"OpenVINO failed to run it ({_brief(error)})", "export it again: segface-edge export"
            ) from error
        return [np.array(found[index]) for index in range(len(found))]

    def finite(self, frames: UInt8Array) -> bool | None:
        """Whether all that an argmax reads is finite, None in a graph without one.

        From a second model of the same file, which has it as a further output.
        """
        if self._seen is None:
            model = self._model.clone()
            read = [node.input_value(0) for node in model.get_ops() if _has_argmax(node)]
            model.add_outputs(read)
            self._seen = (len(read), self._compile(model).create_infer_request() if read else None)
        count, request = self._seen
        if not count:
            return None
        found = (self._values(request, chunk)[-count:] for chunk, _ in self._in_calls(frames))
        return all(bool(np.isfinite(values).all()) for one in found for values in one)

    def describe(self) -> dict[str, object]:
        """Runtime, version, devices that compute, threads, the precision of the arithmetic."""
        told = {
            name: self._compiled.get_property(key) if self._compiled is not None else None
            for name, key in (("devices", "EXECUTION_DEVICES"), ("precision", "INFERENCE_PRECISION_HINT"))
        }
        return {
            "runtime": "openvino",
            "version": VERSION,
            "devices": told["devices"],
            "threads": self._options.get("INFERENCE_NUM_THREADS", "default"),
            "precision": told["precision"] and told["precision"].get_type_name(),
        }

    def close(self) -> None:
        """Frees the model."""
        with self._turn:
            self._request = self._compiled = self._seen = None


def _has_argmax(node: Any) -> bool:
    """Whether an argmax begins here: OpenVINO's of an ONNX file is a TopK."""
    return bool(node.get_type_name() == "TopK" or node.get_friendly_name().startswith(LARGEST))


def _device(core: Any, device: str) -> str:
    """OpenVINO's name of a device."""
    kind, colon, index = device.partition(":")
    if kind not in _DEVICES or (colon and (kind != "gpu" or count_in(index) is None)):
        raise UsageError(f"device {device!r}", "is unknown to OpenVINO", "use cpu, gpu, gpu:N or npu")
    name = f"{_DEVICES[kind]}.{index}" if colon else _DEVICES[kind]
    there = core.available_devices
    if not any(one == name or one.partition(".")[0] == name for one in there):
        raise UsageError(f"device {device!r}", f"is not in this machine, which has {', '.join(there)}", "use another")
    return name


def _tensors(ends: Any) -> list[Tensor]:
    found = []
    for end in ends:
        kind = end.element_type.get_type_name()
        shape = tuple(d.get_length() if d.is_static else None for d in end.partial_shape)
        found.append((end.any_name, _DTYPES.get(kind, kind), shape))
    return found


def _brief(error: Exception) -> str:
    """OpenVINO's messages without where in its sources they are from, in one line."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith(("Exception from", "Check '"))]
    return " ".join(told or lines)[:300]
