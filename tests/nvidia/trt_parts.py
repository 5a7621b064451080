"""What builder and runtime of the fake `tensorrt` share: loggers, shapes, the plan."""

# ruff: noqa: ARG001 (signatures are the real ones)
from __future__ import annotations

import hashlib
import inspect
import json
import struct
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from .trt_enums import Member
from .trt_surface import Impl, Method

MAGIC = b"ftrt"
KINDS = {
    "tensor(uint8)": ("UINT8", np.uint8),
    "tensor(float)": ("FLOAT", np.float32),
    "tensor(float16)": ("HALF", np.float16),
    "tensor(int8)": ("INT8", np.int8),
    "tensor(int32)": ("INT32", np.int32),
    "tensor(int64)": ("INT64", np.int64),
    "tensor(bool)": ("BOOL", np.bool_),
}
# As TensorRT-RTX 1.7 was seen to say it, of a good plan where there is no driver.
CUDA_FAILS = (
    "IRuntime::deserializeCudaEngine: Error Code 1: Cuda Runtime (In ScopedCudaStream at "
    "/_src/common/dispatch/cudaResources.cpp:25 (cudaError 35: CUDA driver version is insufficient for CUDA runtime "
    "version))"
)
NO_CUDA = "CUDA initialization failure with error: 35. Please check your CUDA installation."


class LoggerImpl(Impl):
    kind: ClassVar[str] = "ILogger"

    def __init__(self, api: Any) -> None:
        self.api = api


class PrintingLogger(LoggerImpl):
    """NVIDIA's own logger: it prints to stderr."""

    kind = "Logger"
    settable = ("min_severity",)

    def __init__(self, api: Any, min_severity: Any = None) -> None:
        super().__init__(api)
        self.min_severity = min_severity or api._severity._members["WARNING"]

    def log(self, severity: Member, msg: str) -> None:
        if severity <= self.min_severity:
            print(f"[TRT] [{severity.name[0]}] {msg}", file=sys.stderr)


def log(api: Any, logger: Any, severity: str, message: str) -> None:
    """Calls LOGGER as NVIDIA's code does: with every severity."""
    member = api._severity._members[severity]
    method = inspect.getattr_static(type(logger), "log")
    if not isinstance(method, Method):
        logger.log(member, message)
    elif isinstance(logger._self, PrintingLogger):
        logger._self.log(member, message)
    else:
        api.refuse('Tried to call pure virtual function "nvinfer1::ILogger::log"')


class MonitorImpl(Impl):
    kind = "IProgressMonitor"

    def __init__(self, api: Any) -> None:
        self.api = api


def monitored(api: Any, monitor: Any, method: str, *arguments: Any) -> Any:
    """Calls what the user wrote, from a thread of the library's own, as NVIDIA says that it does."""
    if isinstance(inspect.getattr_static(type(monitor), method), Method):
        api.refuse(f'Tried to call pure virtual function "nvinfer1::IProgressMonitor::{method}"')
    said: list[Any] = []
    thread = threading.Thread(target=lambda: said.append(getattr(monitor, method)(*arguments)))
    thread.start()
    thread.join()
    return said[0]


class ProfilerImpl(Impl):
    kind = "IProfiler"

    def __init__(self, api: Any) -> None:
        self.api = api


def timed(api: Any, profiler: Any, layer: str, ms: float) -> None:
    """Calls what the user wrote."""
    if isinstance(inspect.getattr_static(type(profiler), "report_layer_time"), Method):
        api.refuse('Tried to call pure virtual function "nvinfer1::IProfiler::reportLayerTime"')
    profiler.report_layer_time(layer, ms)


class DimsImpl(Impl):
    """A shape. Compare it as a tuple: whether the binding compares it with one is not documented."""

    kind = "Dims"
    MAX_DIMS = 8

    def __init__(self, api: Any, shape: tuple[int, ...] = ()) -> None:
        self.api, self.shape = api, tuple(shape)

    def __len__(self) -> int:
        return len(self.shape)

    def __iter__(self) -> Iterator[int]:
        return iter(self.shape)

    def __getitem__(self, at: Any) -> Any:
        return self.shape[at]

    def __eq__(self, other: object) -> bool:
        if type(other).__name__ != "Dims":
            self.api.refuse("Dims == something else: write tuple(dims) == …")
        return self.shape == tuple(other)  # type: ignore[call-overload]

    def __hash__(self) -> int:
        return hash(self.shape)

    def __str__(self) -> str:
        return str(self.shape)

    __repr__ = __str__


class HostMemory(bytearray):
    """IHostMemory: a buffer. Of bytearray's own names it shows none."""

    kind = "IHostMemory"
    __hash__ = None  # type: ignore[assignment]

    def __getattribute__(self, name: str) -> Any:
        if name == "nbytes":
            return len(memoryview(self))
        if not name.startswith("_"):
            raise AttributeError(f"'IHostMemory' object has no attribute {name!r}")
        return super().__getattribute__(name)

    def __len__(self) -> int:
        raise TypeError("object of type 'IHostMemory' has no len(): use nbytes")


HostMemory.__name__ = HostMemory.__qualname__ = "IHostMemory"


@dataclass(frozen=True)
class Header:
    """What the fake's plan says of itself before the ONNX bytes."""

    version: str
    sm: list[int]
    gpu: str
    name: str
    flags: list[str]
    profiles: list[dict[str, list[list[int]]]]
    precision: str
    verbosity: str
    compatibility: str
    nodes: int
    inputs: list[Any]
    outputs: list[Any]


def write_plan(header: Header, content: bytes) -> bytes:
    """Magic, lengths, header, ONNX, checksum."""
    text = json.dumps(asdict(header)).encode()
    body = MAGIC + struct.pack("<II", len(text), len(content)) + text + content
    return body + hashlib.sha256(body).digest()


def read_plan(plan: bytes) -> tuple[Header, bytes] | None:
    """None where PLAN is cut or something else."""
    if plan[:4] != MAGIC or len(plan) < 44 or hashlib.sha256(plan[:-32]).digest() != plan[-32:]:
        return None
    text, content = struct.unpack("<II", plan[4:12])
    return Header(**json.loads(plan[12 : 12 + text])), plan[12 + text : 12 + text + content]


def shape_of(shape: list[int | str] | tuple[int | str, ...]) -> tuple[int, ...]:
    """With -1 for what is open."""
    return tuple(side if isinstance(side, int) else -1 for side in shape)


def init_libnvinfer_plugins(api: Any, logger: Any, namespace: str) -> bool:
    return True


def nptype(api: Any, kind: Member) -> Any:
    found = dict(KINDS.values()).get(kind.name)
    if found is None:
        raise TypeError(f"Could not resolve TensorRT datatype to an equivalent numpy datatype: {kind}")
    return found


def volume(api: Any, iterable: Any) -> int:
    total = 1
    for side in iterable:
        total *= side
    return total
