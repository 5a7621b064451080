"""CUDA through cuda-python: the runtime's interface, whose calls return an error and values."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any

import numpy as np

from segface_edge.errors import IncompatibleEngineError

from .cuda import (
    MIB,
    Cuda,
    Gpu,
    Graph,
    HostMemory,
    Mark,
    Memory,
    Stream,
    failed,
    no_gpu,
    out_of_memory,
)
from .driver import cuda_version, driver_is_here, no_driver, old_driver


class CudaPython(Cuda):
    """cuda-python: the runtime's interface, whose calls return an error and values."""

    binding = "cuda-python"
    has_graphs = True

    def __init__(self, rt: ModuleType, index: int) -> None:
        self.rt, self._index = rt, index
        try:
            count = self.call("cudaGetDeviceCount")
        # Up to 12.6 a driver that is not there is an exception.
        except (IncompatibleEngineError, RuntimeError) as error:
            if driver_is_here():
                raise old_driver(f"GPU {index}", self.binding, str(error)) from error
            raise no_driver(f"GPU {index}") from error
        if index >= count:
            raise no_gpu(index, count)
        about = self.call("cudaGetDeviceProperties", index)
        self.gpu = Gpu(
            index=index,
            name=about.name.decode() if isinstance(about.name, bytes) else str(about.name),
            compute=f"{about.major}.{about.minor}",
            memory_mib=about.totalGlobalMem // MIB,
            integrated=bool(about.integrated),
        )
        self.driver = cuda_version(self.call("cudaDriverGetVersion"))
        self.runtime = cuda_version(self.call("cudaRuntimeGetVersion"))

    def call(self, name: str, *arguments: Any, size: int = 0) -> Any:
        """Calls a function of the runtime; its values without the error, one of them alone."""
        error, *values = getattr(self.rt, name)(*arguments)
        codes = self.rt.cudaError_t
        if error != codes.cudaSuccess:
            if error == codes.cudaErrorMemoryAllocation:
                raise out_of_memory(self._index, size)
            raise failed(self._index, f"{name}: {error.name}")
        return values[0] if len(values) == 1 else values

    @contextmanager
    def current(self) -> Iterator[None]:
        before = self.call("cudaGetDevice")
        self.call("cudaSetDevice", self.gpu.index)
        try:
            yield
        finally:
            self.call("cudaSetDevice", before)  # another library of this thread may use another one

    def free_bytes(self) -> int:
        free, _ = self.call("cudaMemGetInfo")
        return int(free)

    def allocate(self, size: int) -> Memory:
        return _Memory(self, size)

    def allocate_host(self, size: int, *, mapped: bool) -> HostMemory:
        return _HostMemory(self, size, mapped)

    def stream(self) -> Stream:
        return _Stream(self)

    def record(self, stream: Stream, work: Callable[[], None]) -> Graph:
        return _Graph(self, stream, work)

    def close(self) -> None:
        """Nothing: the runtime keeps the primary context as long as the process lives."""


class _Memory(Memory):
    def __init__(self, cuda: CudaPython, size: int) -> None:
        self._cuda, self.size = cuda, size
        self.address = int(cuda.call("cudaMalloc", size, size=size))

    def free(self) -> None:
        self._cuda.call("cudaFree", self.address)


class _HostMemory(HostMemory):
    def __init__(self, cuda: CudaPython, size: int, mapped: bool) -> None:
        self._cuda, self.size = cuda, size
        flags = cuda.rt.cudaHostAllocMapped if mapped else cuda.rt.cudaHostAllocDefault
        self._pointer = int(cuda.call("cudaHostAlloc", size, flags, size=size))
        self.array = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(self._pointer))
        self.address = int(cuda.call("cudaHostGetDevicePointer", self._pointer, 0)) if mapped else 0

    def free(self) -> None:
        self._cuda.call("cudaFreeHost", self._pointer)


class _Stream(Stream):
    def __init__(self, cuda: CudaPython) -> None:
        self._cuda = cuda
        self.stream = cuda.call("cudaStreamCreateWithFlags", cuda.rt.cudaStreamNonBlocking)
        self.handle = int(self.stream)

    def copy_in(self, source: HostMemory, target: Memory, size: int) -> None:
        kind = self._cuda.rt.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._cuda.call("cudaMemcpyAsync", target.address, source.array.ctypes.data, size, kind, self.stream)

    def copy_out(self, source: Memory, target: HostMemory, size: int) -> None:
        kind = self._cuda.rt.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._cuda.call("cudaMemcpyAsync", target.array.ctypes.data, source.address, size, kind, self.stream)

    def mark(self) -> Mark:
        return _Mark(self._cuda, self)

    def synchronize(self) -> None:
        self._cuda.call("cudaStreamSynchronize", self.stream)

    def free(self) -> None:
        self._cuda.call("cudaStreamDestroy", self.stream)


class _Mark(Mark):
    def __init__(self, cuda: CudaPython, stream: _Stream) -> None:
        self._cuda = cuda
        self._event = cuda.call("cudaEventCreate")
        cuda.call("cudaEventRecord", self._event, stream.stream)

    def seconds_since(self, earlier: Mark) -> float:
        assert isinstance(earlier, _Mark)
        return float(self._cuda.call("cudaEventElapsedTime", earlier._event, self._event)) / 1000

    def free(self) -> None:
        self._cuda.call("cudaEventDestroy", self._event)


class _Graph(Graph):
    def __init__(self, cuda: CudaPython, stream: Stream, work: Callable[[], None]) -> None:
        assert isinstance(stream, _Stream)
        self._cuda = cuda
        # Only this thread's calls count: others go on allocating.
        cuda.call(
            "cudaStreamBeginCapture", stream.stream, cuda.rt.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        )
        try:
            work()
        except BaseException:
            with suppress(IncompatibleEngineError):
                cuda.call("cudaGraphDestroy", cuda.call("cudaStreamEndCapture", stream.stream))
            raise
        graph = cuda.call("cudaStreamEndCapture", stream.stream)
        try:
            self._ready = cuda.call("cudaGraphInstantiate", graph, 0)
        finally:
            cuda.call("cudaGraphDestroy", graph)

    def launch(self, stream: Stream) -> None:
        assert isinstance(stream, _Stream)
        self._cuda.call("cudaGraphLaunch", self._ready, stream.stream)

    def free(self) -> None:
        self._cuda.call("cudaGraphExecDestroy", self._ready)
