"""CUDA through pycuda: the driver's interface. It has no graphs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from segface_edge.errors import UsageError

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

_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING, which pycuda has no name for


class PyCuda(Cuda):
    """pycuda: the driver's interface. It has no graphs."""

    binding = "pycuda"
    has_graphs = False

    def __init__(self, drv: ModuleType, index: int) -> None:
        self.drv = drv
        try:
            drv.init()
            if index >= drv.Device.count():
                raise no_gpu(index, drv.Device.count())
            device = drv.Device(index)
            self._context = _retained(drv, device, index)
        except drv.Error as error:
            if driver_is_here():
                raise old_driver(f"GPU {index}", self.binding, str(error)) from error
            raise no_driver(f"GPU {index}") from error
        self.gpu = Gpu(
            index=index,
            name=device.name(),
            compute=".".join(map(str, device.compute_capability())),
            memory_mib=device.total_memory() // MIB,
            integrated=bool(device.get_attribute(drv.device_attribute.INTEGRATED)),
        )
        self.driver = cuda_version(drv.get_driver_version())
        self.runtime = ".".join(map(str, drv.get_version()[:2]))

    @contextmanager
    def current(self) -> Iterator[None]:
        try:
            self._context.push()
            try:
                yield
            finally:
                self.drv.Context.pop()
        except self.drv.Error as error:
            raise failed(self.gpu.index, str(error)) from error

    def free_bytes(self) -> int:
        return int(self.drv.mem_get_info()[0])

    def allocate(self, size: int) -> Memory:
        try:
            return _Memory(self.drv.mem_alloc(size), size)
        except self.drv.MemoryError as error:
            raise out_of_memory(self.gpu.index, size) from error

    def allocate_host(self, size: int, *, mapped: bool) -> HostMemory:
        flags = self.drv.host_alloc_flags.DEVICEMAP if mapped else 0
        try:
            return _HostMemory(self.drv.pagelocked_empty((size,), np.uint8, mem_flags=flags), mapped)
        except self.drv.MemoryError as error:
            raise out_of_memory(self.gpu.index, size) from error

    def stream(self) -> Stream:
        return _Stream(self.drv)

    def record(self, stream: Stream, work: Callable[[], None]) -> Graph:
        raise UsageError("CUDA graphs", "are not in pycuda", "install cuda-python")

    def close(self) -> None:
        """Nothing: the primary context is kept as long as the process lives, as CUDA's own runtime does. Letting go of
        it leaves it on the stack of the thread that does (pycuda's `detach` does not pop a primary context)."""


_CONTEXTS: WeakKeyDictionary[ModuleType, dict[int, Any]] = WeakKeyDictionary()
_LOCK = threading.Lock()


def _retained(drv: ModuleType, device: Any, index: int) -> Any:
    """The device's primary context, retained once a process."""
    with _LOCK:
        contexts = _CONTEXTS.setdefault(drv, {})
        if index not in contexts:
            contexts[index] = device.retain_primary_context()
        return contexts[index]


class _Memory(Memory):
    def __init__(self, allocation: Any, size: int) -> None:
        self._allocation = allocation
        self.address, self.size = int(allocation), size

    def free(self) -> None:
        self._allocation.free()


class _HostMemory(HostMemory):
    def __init__(self, array: Any, mapped: bool) -> None:
        self.array, self.size = array, array.nbytes
        self._allocation = array.base
        self.address = int(self._allocation.get_device_pointer()) if mapped else 0

    def free(self) -> None:
        self._allocation.free()


class _Stream(Stream):
    def __init__(self, drv: ModuleType) -> None:
        self._drv = drv
        self._stream = drv.Stream(_NON_BLOCKING)
        self.handle = int(self._stream.handle)

    def copy_in(self, source: HostMemory, target: Memory, size: int) -> None:
        self._drv.memcpy_htod_async(target.address, source.array[:size], self._stream)

    def copy_out(self, source: Memory, target: HostMemory, size: int) -> None:
        self._drv.memcpy_dtoh_async(target.array[:size], source.address, self._stream)

    def mark(self) -> Mark:
        return _Mark(self._drv, self._stream)

    def synchronize(self) -> None:
        self._stream.synchronize()

    def free(self) -> None:
        del self._stream  # pycuda frees it with its last name


class _Mark(Mark):
    def __init__(self, drv: ModuleType, stream: Any) -> None:
        self._event = drv.Event()
        self._event.record(stream)

    def seconds_since(self, earlier: Mark) -> float:
        assert isinstance(earlier, _Mark)
        return float(self._event.time_since(earlier._event)) / 1000

    def free(self) -> None:
        del self._event
