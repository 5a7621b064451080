"""`cuda.cudart` and `cuda.bindings.runtime` of cuda-python over a `FakeDevice`.

Names, argument counts and answers are those that the real packages gave on a machine without a GPU: 12.5.0, 12.6.2,
12.9.10 (bindings) and 13.4.4, Python 3.11. Every call answers a tuple that begins with a `cudaError_t`; nothing raises.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from .fake_cuda import FakeDevice, OutOfMemory, buffer_address


@dataclass(frozen=True)
class Variant:
    """What differs between the releases."""

    modules: tuple[str, ...]
    # Up to 12.8 a call without libcuda raises RuntimeError, later it answers cudaErrorInsufficientDriver.
    raises: bool
    # cuda.cudart warns when it is imported: FutureWarning, in 12.9.
    warns: str | None = None
    # The runtime is linked into the package, so that cudaRuntimeGetVersion is the package's own.
    runtime: int = 12060


VARIANTS = {
    "12.5": Variant(("cuda.cudart",), True, runtime=12050),
    "12.6": Variant(("cuda.cudart", "cuda.bindings.runtime"), True, runtime=12060),
    "12": Variant(
        ("cuda.cudart", "cuda.bindings.runtime"),
        False,
        "The cuda.cudart module is deprecated and will be removed in a future release, please switch to use the "
        "cuda.bindings.runtime module instead.",
        runtime=12090,
    ),
    "13": Variant(("cuda.bindings.runtime",), False, runtime=13040),
}

# Value, name and words, from the real cudaGetErrorName and cudaGetErrorString.
_ERRORS = {
    0: ("cudaSuccess", "no error"),
    1: ("cudaErrorInvalidValue", "invalid argument"),
    2: ("cudaErrorMemoryAllocation", "out of memory"),
    35: ("cudaErrorInsufficientDriver", "CUDA driver version is insufficient for CUDA runtime version"),
    100: ("cudaErrorNoDevice", "no CUDA-capable device is detected"),
    101: ("cudaErrorInvalidDevice", "invalid device ordinal"),
    201: ("cudaErrorDeviceUninitialized", "invalid device context"),
    600: ("cudaErrorNotReady", "device not ready"),
    900: ("cudaErrorStreamCaptureUnsupported", "operation not permitted when stream is capturing"),
    901: ("cudaErrorStreamCaptureInvalidated", "operation failed due to a previous error during capture"),
    999: ("cudaErrorUnknown", "unknown error"),
}


class _Handle:
    """A stream, event or graph as cuda-python gives it: an opaque object with a number."""

    def __init__(self, number: int = 0) -> None:
        self._number = number

    def __int__(self) -> int:
        return self._number

    def getPtr(self) -> int:
        """The address of the handle: nothing that a parser needs."""
        return id(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._number:#x}>"


class CUstream(_Handle):
    pass


class CUevent(_Handle):
    pass


class CUgraph(_Handle):
    pass


class CUgraphExec(_Handle):
    pass


class cudaDeviceProp:
    """As much of it as the product may read."""

    def __init__(self, device: FakeDevice) -> None:
        self.name = device.name.encode()
        self.major, self.minor = device.sm
        self.integrated, self.totalGlobalMem = int(device.integrated), device.memory


def make(device: FakeDevice, variant: str) -> dict[str, ModuleType]:
    """The modules, by name."""
    device.implicit = True
    kind = VARIANTS[variant]
    names = _names(device, kind)
    modules = {"cuda": ModuleType("cuda")}
    modules["cuda"].__path__ = []
    for name in kind.modules:
        package = name.rpartition(".")[0]
        modules.setdefault(package, ModuleType(package)).__path__ = []
        modules[name] = ModuleType(name)
        vars(modules[name]).update(names)
    return modules


def _names(device: FakeDevice, variant: Variant) -> dict[str, Any]:
    cuda_error = enum.IntEnum("cudaError_t", {name: value for value, (name, _) in _ERRORS.items()})  # type: ignore[misc]
    copy_kinds = ("HostToHost", "HostToDevice", "DeviceToHost", "DeviceToDevice", "Default")
    kinds = enum.IntEnum("cudaMemcpyKind", {f"cudaMemcpy{name}": i for i, name in enumerate(copy_kinds)})  # type: ignore[misc]
    modes = enum.IntEnum(  # type: ignore[misc]
        "cudaStreamCaptureMode",
        {f"cudaStreamCaptureMode{name}": i for i, name in enumerate(("Global", "ThreadLocal", "Relaxed"))},
    )
    success = cuda_error(0)
    table: dict[str, Any] = {
        "cudaError_t": cuda_error,
        "cudaMemcpyKind": kinds,
        "cudaStreamCaptureMode": modes,
        "cudaHostAllocDefault": 0,
        "cudaHostAllocMapped": 2,
        "cudaStreamNonBlocking": 1,
        "cudaStream_t": CUstream,
        "cudaEvent_t": CUevent,
        "cudaGraph_t": CUgraph,
        "cudaGraphExec_t": CUgraphExec,
        "cudaDeviceProp": cudaDeviceProp,
    }
    loaded = False

    def without_driver(function: str) -> None:
        """What 12.6 does: the first call looks for libcuda, the later ones for its functions."""
        nonlocal loaded
        if loaded:
            raise RuntimeError(f'Function "{function}" not found')
        loaded = True
        raise RuntimeError("Failed to dlopen libcuda.so.1")

    def call(results: int, *, looks_for: str = "cuInit") -> Callable[[Callable[..., Any]], None]:
        """Registers a call with RESULTS results beside the error code."""

        def register(function: Callable[..., Any]) -> None:
            count = function.__code__.co_argcount
            name = function.__name__

            @functools.wraps(function)
            def wrapped(*arguments: Any) -> tuple[Any, ...]:
                if len(arguments) != count:
                    plural = "" if count == 1 else "s"
                    raise TypeError(
                        f"{name}() takes exactly {count} positional argument{plural} ({len(arguments)} given)"
                    )
                nothing = (None,) * results
                if not device.driver:
                    if variant.raises:
                        without_driver(looks_for)
                    return (cuda_error(35), *nothing)
                if not device.devices:
                    return (cuda_error(100), *nothing)
                answer = function(*arguments)
                if isinstance(answer, cuda_error):
                    return (answer, *nothing)
                return (success, *(answer if isinstance(answer, tuple) else () if answer is None else (answer,)))

            table[name] = wrapped

        return register

    def number(thing: Any, *kinds_of_handle: type[_Handle]) -> int:
        """A handle, or a number, as the real package takes it."""
        if thing is None:
            return 0
        if isinstance(thing, _Handle):
            if not isinstance(thing, kinds_of_handle):
                device.refuse(f"{thing!r} where a {kinds_of_handle[0].__name__} is due")
            return int(thing)
        if not hasattr(thing, "__index__"):
            raise TypeError("an integer is required")
        return int(thing)

    def address(thing: Any) -> int:
        """A pointer: a number, or what has the buffer protocol."""
        if thing is None or isinstance(thing, int):
            return int(thing or 0)
        return buffer_address(thing)[0]

    def size_of(thing: Any) -> int:
        if not hasattr(thing, "__index__"):
            raise TypeError("an integer is required")
        if int(thing) < 0:
            raise OverflowError("can't convert negative value to size_t")
        return int(thing)

    def member(thing: Any, of: type[enum.IntEnum]) -> int:
        if not isinstance(thing, of):
            raise AttributeError(f"{type(thing).__name__!r} object has no attribute 'value'")
        return int(thing)

    # Devices

    @call(1)
    def cudaGetDeviceCount() -> Any:
        return device.devices

    @call(0)
    def cudaSetDevice(index: Any) -> Any:
        if not 0 <= size_of(index) < device.devices:
            return cuda_error(101)
        device.choose(index)
        return None

    @call(1)
    def cudaGetDevice() -> Any:
        return device.chosen()

    @call(1)
    def cudaGetDeviceProperties(index: Any) -> Any:
        return cudaDeviceProp(device) if 0 <= size_of(index) < device.devices else cuda_error(101)

    @call(0)
    def cudaDeviceSynchronize() -> Any:
        device.synchronize_all("cudaDeviceSynchronize")

    @call(2)
    def cudaMemGetInfo() -> Any:
        return device.free_memory(), device.memory

    # Memory

    @call(1)
    def cudaMalloc(size: Any) -> Any:
        try:
            return device.allocate(size_of(size), "cudaMalloc").pointer
        except OutOfMemory:
            return cuda_error(2)

    @call(0)
    def cudaFree(pointer: Any) -> Any:
        device.free(device.block_at(address(pointer), "cudaFree", host=False), "cudaFree")

    @call(1)
    def cudaHostAlloc(size: Any, flags: Any) -> Any:
        try:
            mapped = bool(size_of(flags) & 2)
            return device.allocate(size_of(size), "cudaHostAlloc", pinned=True, mapped=mapped).address
        except OutOfMemory:
            return cuda_error(2)

    @call(0)
    def cudaFreeHost(pointer: Any) -> Any:
        device.free(device.block_at(address(pointer), "cudaFreeHost", host=True), "cudaFreeHost")

    @call(1)
    def cudaHostGetDevicePointer(host: Any, flags: Any) -> Any:
        size_of(flags)
        block = device.block_at(address(host), "cudaHostGetDevicePointer", host=True)
        if not block.live:
            device.refuse("cudaHostGetDevicePointer: freed memory")
        if block.pointer is None:
            device.refuse("cudaHostGetDevicePointer: the memory was not asked to be mapped (cudaHostAllocMapped)")
        return block.pointer

    @call(0)
    def cudaMemcpyAsync(to: Any, source: Any, size: Any, kind: Any, stream: Any) -> Any:
        way = member(kind, kinds)
        if way not in (1, 2):
            device.refuse(f"cudaMemcpyAsync: the fake does not copy {kind!r}; teach it")
        queue = device.stream(number(stream, CUstream), "cudaMemcpyAsync")
        device.copy(address(to), address(source), size_of(size), queue, "cudaMemcpyAsync", up=way == 1)

    # Streams and events

    @call(1)
    def cudaStreamCreateWithFlags(flags: Any) -> Any:
        size_of(flags)
        return CUstream(device.create_stream("cudaStreamCreateWithFlags").handle)

    @call(0)
    def cudaStreamDestroy(stream: Any) -> Any:
        device.destroy_stream(device.stream(number(stream, CUstream), "cudaStreamDestroy"), "cudaStreamDestroy")

    @call(0)
    def cudaStreamSynchronize(stream: Any) -> Any:
        device.synchronize(device.stream(number(stream, CUstream), "cudaStreamSynchronize"), "cudaStreamSynchronize")

    @call(1)
    def cudaEventCreate() -> Any:
        return CUevent(device.create_event("cudaEventCreate").handle)

    @call(0)
    def cudaEventRecord(event: Any, stream: Any) -> Any:
        queue = device.stream(number(stream, CUstream), "cudaEventRecord")
        device.record(device.event(number(event, CUevent), "cudaEventRecord"), queue, "cudaEventRecord")

    @call(0)
    def cudaEventSynchronize(event: Any) -> Any:
        device.synchronize_event(device.event(number(event, CUevent), "cudaEventSynchronize"), "cudaEventSynchronize")

    @call(1)
    def cudaEventElapsedTime(start: Any, end: Any) -> Any:
        first, last = (device.event(number(e, CUevent), "cudaEventElapsedTime") for e in (start, end))
        return cuda_error(600) if first.moment is None or last.moment is None else last.moment - first.moment

    @call(0)
    def cudaEventDestroy(event: Any) -> Any:
        device.destroy_event(device.event(number(event, CUevent), "cudaEventDestroy"), "cudaEventDestroy")

    # Graphs

    @call(0)
    def cudaStreamBeginCapture(stream: Any, mode: Any) -> Any:
        queue = device.stream(number(stream, CUstream), "cudaStreamBeginCapture")
        device.begin_capture(queue, member(mode, modes), "cudaStreamBeginCapture")

    @call(1)
    def cudaStreamEndCapture(stream: Any) -> Any:
        queue = device.stream(number(stream, CUstream), "cudaStreamEndCapture")
        graph = device.end_capture(queue, "cudaStreamEndCapture")
        return cuda_error(901) if graph is None else CUgraph(graph.handle)

    @call(1)
    def cudaGraphInstantiate(graph: Any, flags: Any) -> Any:
        size_of(flags)
        known = device.graph(number(graph, CUgraph), "cudaGraphInstantiate", executable=False)
        return CUgraphExec(device.instantiate(known).handle)

    @call(0)
    def cudaGraphLaunch(graph: Any, stream: Any) -> Any:
        known = device.graph(number(graph, CUgraphExec), "cudaGraphLaunch", executable=True)
        device.launch(known, device.stream(number(stream, CUstream), "cudaGraphLaunch"))

    @call(0)
    def cudaGraphDestroy(graph: Any) -> Any:
        device.destroy_graph(device.graph(number(graph, CUgraph), "cudaGraphDestroy", executable=False))

    @call(0)
    def cudaGraphExecDestroy(graph: Any) -> Any:
        device.destroy_graph(device.graph(number(graph, CUgraphExec), "cudaGraphExecDestroy", executable=True))

    # What answers without a driver, too

    def cudaRuntimeGetVersion() -> Any:
        return success, variant.runtime

    def cudaDriverGetVersion() -> Any:
        if not device.driver and variant.raises:
            without_driver("cuDriverGetVersion")
        return success, device.driver_version if device.driver else 0

    def words(error: Any, place: int) -> Any:
        if variant.raises and not isinstance(error, cuda_error):
            raise AttributeError(f"{type(error).__name__!r} object has no attribute 'value'")
        if variant.raises and not device.driver:
            without_driver("cuGetErrorString")
        return success, _ERRORS[int(error)][place].encode()

    def cudaGetErrorName(error: Any) -> Any:
        return words(error, 0)

    def cudaGetErrorString(error: Any) -> Any:
        return words(error, 1)

    for function in (cudaRuntimeGetVersion, cudaDriverGetVersion, cudaGetErrorName, cudaGetErrorString):
        table[function.__name__] = function
    return table
