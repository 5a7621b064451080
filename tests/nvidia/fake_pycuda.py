"""`pycuda` and `pycuda.driver` over a `FakeDevice`.

Conventions as in pycuda 2024.1.2's own source: an error is `ROUTINE failed: WORDS`; streams, events and memory belong
to the context that was current, and are freed with their last reference, on the thread that retained that context or
where it is current. Elsewhere pycuda prints a warning and leaks; the fake notes it, and it stays in `live()`.
"""

from __future__ import annotations

import enum
import threading
from abc import abstractmethod
from types import ModuleType
from typing import Any

import numpy as np

from .fake_cuda import Block, FakeCudaError, FakeDevice, OutOfMemory, buffer_address

NO_LIBCUDA = "libcuda.so.1: cannot open shared object file: No such file or directory"


def make(device: FakeDevice) -> dict[str, ModuleType]:
    """The modules, by name. Importing `pycuda.driver` where there is no driver is the world's to refuse."""
    package, driver = ModuleType("pycuda"), ModuleType("pycuda.driver")
    package.__path__ = []
    for name, value in _names(device).items():
        setattr(driver, name, value)
    return {"pycuda": package, "pycuda.driver": driver}


def _names(device: FakeDevice) -> dict[str, Any]:
    ready = False

    def need_init(call: str) -> None:
        if not ready:
            device.refuse(f"{call}: before init() (a real one: initialization error)")

    class Error(Exception):
        pass

    class LogicError(Error):
        pass

    class MemoryError(Error):
        pass

    class RuntimeError(Error):
        pass

    # py::enum_ and plain classes in pycuda; only what a parser needs.
    class device_attribute(enum.IntEnum):
        INTEGRATED = 18

    class host_alloc_flags:
        PORTABLE = 1
        DEVICEMAP = 2
        WRITECOMBINED = 4

    def init(flags: int = 0) -> None:
        nonlocal ready
        if not device.devices:
            # CUDA_ERROR_NO_DEVICE is a RuntimeError in pycuda, not a LogicError.
            raise RuntimeError("cuInit failed: no CUDA-capable device is detected")
        ready = flags == 0

    def get_version() -> tuple[int, int, int]:
        version = device.runtime_version
        return version // 1000, version % 1000 // 10, version % 10

    def get_driver_version() -> int:
        return device.driver_version

    class Context:
        def __init__(self) -> None:
            raise TypeError("this class cannot be instantiated from Python")

        def push(self) -> None:
            if not self._valid:
                device.refuse("Context.push: the context is detached")
            device.push(self._index, self)

        @staticmethod
        def pop() -> None:
            device.pop()

        @staticmethod
        def synchronize() -> None:
            device.synchronize_all("Context.synchronize")

        def detach(self) -> None:
            if not self._valid:
                device.refuse("Context.detach: cannot detach from invalid context")
            self._valid = False
            if device.top() is self:
                device.pop()
            elif threading.get_ident() != self._thread:
                device.notes.append("a context was detached on another thread: pycuda leaks it")
                return
            device.retained -= 1

        def __del__(self) -> None:
            if getattr(self, "_valid", False):
                self.detach()

    class Device:
        def __init__(self, index: int) -> None:
            need_init("Device")
            if not 0 <= index < device.devices:
                raise LogicError("cuDeviceGet failed: invalid device ordinal")
            self._index = index

        @staticmethod
        def count() -> int:
            need_init("Device.count")
            return device.devices

        def name(self) -> str:
            return device.name

        def compute_capability(self) -> tuple[int, int]:
            return device.sm

        def total_memory(self) -> int:
            return device.memory

        def get_attribute(self, attribute: device_attribute) -> int:
            if not isinstance(attribute, device_attribute):
                raise TypeError("get_attribute takes a device_attribute")
            return int(device.integrated)

        def retain_primary_context(self) -> Context:
            context = object.__new__(Context)
            context._index, context._thread, context._valid = self._index, threading.get_ident(), True
            device.retained += 1
            return context

    class Owned:
        """What is freed with its last reference, in the context that was current when it was made."""

        _freed = True

        def _own(self, call: str) -> None:
            device.current(call)
            self._context: Any = device.top()
            self._freed = False

        def _leak(self) -> bool:
            """Whether it cannot be freed here: pycuda prints a warning and goes on."""
            problem = ""
            if not self._context._valid:
                problem = "after its context was detached"
            elif device.top() is not self._context and threading.get_ident() != self._context._thread:
                problem = "on a thread where its context is not current, and which did not retain it"
            if problem:
                device.notes.append(f"{type(self).__name__} freed {problem}: pycuda leaks it")
            return bool(problem)

        @abstractmethod
        def _give(self) -> None:
            """Gives the device its own back."""

        def _release(self) -> None:
            self._freed = True
            if self._leak():
                return
            device.push(self._context._index, self._context)
            try:
                self._give()
            finally:
                device.pop()
                self._context = None

        def __del__(self) -> None:
            if not self._freed:
                self._release()

    class Memory(Owned):
        _block: Block

        def free(self) -> None:
            if self._freed:
                device.refuse(f"{type(self).__name__}.free: freed already (a real one: invalid resource handle)")
            self._release()

        def _give(self) -> None:
            device.free(self._block, f"{type(self).__name__}.free")

    class DeviceAllocation(Memory):
        def __init__(self) -> None:
            raise TypeError("this class cannot be instantiated from Python")

        def __int__(self) -> int:
            if self._freed:
                device.refuse("int(DeviceAllocation): freed memory")
            assert self._block.pointer is not None
            return self._block.pointer

        __index__ = __int__

    class PagelockedHostAllocation(Memory):
        def __init__(self) -> None:
            raise TypeError("this class cannot be instantiated from Python")

        def get_device_pointer(self) -> int:
            device.current("get_device_pointer")
            if self._freed:
                device.refuse("get_device_pointer: freed memory")
            if self._block.pointer is None:
                device.refuse("get_device_pointer: the memory was not asked to be mapped (host_alloc_flags.DEVICEMAP)")
            return self._block.pointer

    def mem_get_info() -> tuple[int, int]:
        device.current("mem_get_info")
        return device.free_memory(), device.memory

    def mem_alloc(size: int, /) -> DeviceAllocation:
        allocation = object.__new__(DeviceAllocation)
        try:
            allocation._block = device.allocate(size, "mem_alloc")
        except OutOfMemory:
            raise MemoryError("cuMemAlloc failed: out of memory") from None
        allocation._own("mem_alloc")
        return allocation

    def pagelocked_empty(shape: Any, dtype: Any, order: str = "C", mem_flags: int = 0) -> np.ndarray:
        if order not in ("C", "F"):
            raise LogicError("numpy_empty failed: invalid argument - unrecognized order specifier")
        kind = np.dtype(dtype)
        sides = (shape,) if isinstance(shape, int) else tuple(shape)
        size = int(np.prod(sides, dtype=np.int64)) * kind.itemsize
        allocation = object.__new__(PagelockedHostAllocation)
        try:
            mapped = bool(mem_flags & host_alloc_flags.DEVICEMAP)
            allocation._block = device.allocate(size, "pagelocked_empty", pinned=True, mapped=mapped)
        except OutOfMemory:
            raise MemoryError("cuMemHostAlloc failed: out of memory") from None
        allocation._own("pagelocked_empty")
        # So numpy makes the allocation itself the base of the array; a real one has no such attribute.
        interface = {"shape": sides, "typestr": kind.str, "data": (allocation._block.address, False), "version": 3}
        allocation.__array_interface__ = interface
        if order == "F":
            interface["strides"] = np.empty(sides, kind, order="F").strides
        return np.asarray(allocation)

    class Stream(Owned):
        def __init__(self, flags: int = 0) -> None:
            if not isinstance(flags, int):
                raise TypeError("Stream: flags is a number")
            self._own("Stream")
            self._stream = device.create_stream("Stream")

        @property
        def handle(self) -> int:
            return self._stream.handle

        def synchronize(self) -> None:
            device.synchronize(self._stream, "Stream.synchronize")

        def _give(self) -> None:
            device.destroy_stream(self._stream, "Stream")

    class Event(Owned):
        def __init__(self, flags: int = 0) -> None:
            if not isinstance(flags, int):
                raise TypeError("Event: flags is a number")
            self._own("Event")
            self._event = device.create_event("Event")

        def record(self, stream: Stream | None = None) -> Event:
            handle = 0 if stream is None else stream.handle
            device.record(self._event, device.stream(handle, "Event.record"), "Event.record")
            return self

        def synchronize(self) -> Event:
            device.synchronize_event(self._event, "Event.synchronize")
            return self

        def time_since(self, event: Event) -> float:
            if self._event.moment is None or event._event.moment is None:
                device.refuse("Event.time_since: an event has not come yet (a real one: device not ready)")
            return self._event.moment - event._event.moment

        def _give(self) -> None:
            device.destroy_event(self._event, "Event")

    def copy(device_side: Any, host: Any, stream: Stream | None, call: str, *, up: bool) -> None:
        if stream is not None and not isinstance(stream, Stream):
            raise TypeError(f"{call}: stream is a Stream")
        queue = device.stream(0 if stream is None else stream.handle, call)
        where = device_side.__index__()
        address, size = buffer_address(host, writable=not up)
        device.copy(where if up else address, address if up else where, size, queue, call, up=up)

    def memcpy_htod_async(dest: Any, src: Any, stream: Stream | None = None) -> None:
        copy(dest, src, stream, "memcpy_htod_async", up=True)

    def memcpy_dtoh_async(dest: Any, src: Any, stream: Stream | None = None) -> None:
        copy(src, dest, stream, "memcpy_dtoh_async", up=False)

    hidden = {"device", "ready", "need_init", "Owned", "Memory", "copy", "hidden"}
    names = {name: value for name, value in locals().items() if name not in hidden}
    return {**names, "HostAllocation": PagelockedHostAllocation}


__all__ = ["NO_LIBCUDA", "FakeCudaError", "make"]
