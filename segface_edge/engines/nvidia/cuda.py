"""CUDA's memory, streams and graphs: one small seam, over pycuda or cuda-python.

Everything is in the device's primary context, which other libraries of the process (torch) use too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

from segface_edge.errors import IncompatibleEngineError, MissingDependencyError, SegFaceEdgeError, UsageError
from segface_edge.extras import pip_install
from segface_edge.files import count_in
from segface_edge.pictures.geometry import UInt8Array

from .driver import Driver, driver_is_here, no_driver, read_driver

MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """A GPU.

    Attributes:
        index: of the device.
        name: NVIDIA's.
        compute: its compute capability, `8.7` for an Orin.
        memory_mib: all of its memory.
        integrated: it shares the CPU's memory, as a Jetson's does.
    """

    index: int
    name: str
    compute: str
    memory_mib: int
    integrated: bool


class Memory(ABC):
    """A block of bytes.

    Attributes:
        address: where the device finds it.
        size: in bytes.
    """

    address: int
    size: int

    @abstractmethod
    def free(self) -> None:
        """Gives it back; what uses it must be done."""


class HostMemory(Memory):
    """Pinned memory of the host.

    Attributes:
        array: (size,) uint8, the bytes themselves.
        address: the device's address of them where they were asked for `mapped`, else 0.
    """

    array: UInt8Array


class Stream(ABC):
    """Work of the device in order.

    Attributes:
        handle: for TensorRT.
    """

    handle: int

    @abstractmethod
    def copy_in(self, source: HostMemory, target: Memory, size: int) -> None:
        """Queues a copy of the first `size` bytes to the device."""

    @abstractmethod
    def copy_out(self, source: Memory, target: HostMemory, size: int) -> None:
        """Queues a copy of the first `size` bytes to the host."""

    @abstractmethod
    def mark(self) -> Mark:
        """Queues a mark in time."""

    @abstractmethod
    def synchronize(self) -> None:
        """Waits until all that was queued is done."""

    @abstractmethod
    def free(self) -> None:
        """Gives it back."""


class Mark(ABC):
    """A moment in a stream's work."""

    @abstractmethod
    def seconds_since(self, earlier: Mark) -> float:
        """Between two marks that were both reached."""

    @abstractmethod
    def free(self) -> None:
        """Gives it back."""


class Graph(ABC):
    """Work that was recorded once, and is queued as a whole."""

    @abstractmethod
    def launch(self, stream: Stream) -> None:
        """Queues it."""

    @abstractmethod
    def free(self) -> None:
        """Gives it back."""


class Cuda(ABC):
    """A device.

    Attributes:
        binding: key of `BINDINGS`.
        gpu: which one.
        driver, runtime: versions of CUDA, `12.6`: the driver's newest, and the binding's.
        has_graphs: whether work can be recorded.
    """

    binding: str
    gpu: Gpu
    driver: str
    runtime: str
    has_graphs: bool

    @abstractmethod
    def current(self) -> Any:
        """A context manager: within it, the calling thread works with this device. All other calls need it."""

    @abstractmethod
    def free_bytes(self) -> int:
        """Of the device's memory."""

    @abstractmethod
    def allocate(self, size: int) -> Memory:
        """Memory of the device."""

    @abstractmethod
    def allocate_host(self, size: int, *, mapped: bool) -> HostMemory:
        """Pinned memory of the host; `mapped`: the device may use it in place."""

    @abstractmethod
    def stream(self) -> Stream:
        """A stream of its own, which does not wait for the default one."""

    @abstractmethod
    def record(self, stream: Stream, work: Callable[[], None]) -> Graph:
        """What `work` queues, as a graph; nothing of it is done."""

    @abstractmethod
    def close(self) -> None:
        """Lets go of the primary context."""


def open_cuda(device: str = "cuda", binding: str | None = None) -> Cuda:
    """A device through one of the bindings.

    Args:
        device: `cuda` or `cuda:N`.
        binding: key of `BINDINGS`; None takes the first that is installed.

    Raises:
        UsageError: unknown device or binding.
        MissingDependencyError: no binding, no driver, no GPU.
    """
    kind, colon, index = device.partition(":")
    if kind != "cuda" or (colon and count_in(index) is None):
        raise UsageError(f"device {device!r}", "is no NVIDIA GPU", "use cuda or cuda:N")
    if binding is not None and binding not in BINDINGS:
        raise UsageError(f"CUDA binding {binding!r}", "is unknown", f"use one of: {', '.join(BINDINGS)}")
    for name in [binding] if binding else BINDINGS:
        module = _import(name, BINDINGS[name].modules)
        if module is not None:
            home, _, attribute = BINDINGS[name].home.partition(":")
            opened: Cuda = getattr(import_module(home), attribute)(module, int(index or 0))
            return opened
    if not driver_is_here():
        raise no_driver(f"device {device!r}")
    raise MissingDependencyError(
        f"device {device!r}",
        f"the package {binding or ' or '.join(BINDINGS)} is not installed",
        f"install it: {installs_binding(binding or next(iter(BINDINGS)), read_driver())}",
    )


@dataclass(frozen=True)
class Binding:
    """A Python package that calls CUDA.

    Attributes:
        modules: that it may have, by its version.
        home: where our class over it is.
    """

    modules: tuple[str, ...]
    home: str


# cuda-python first: it has graphs.
BINDINGS: dict[str, Binding] = {
    "cuda-python": Binding(
        ("cuda.bindings.runtime", "cuda.cudart"),
        "segface_edge.engines.nvidia.cuda_python:CudaPython",
    ),
    "pycuda": Binding(("pycuda.driver",), "segface_edge.engines.nvidia.cuda_pycuda:PyCuda"),
}


def installs_binding(name: str, driver: Driver | None) -> str:
    """The command that installs a row of `BINDINGS`; of cuda-python the newest for the driver that is here."""
    if name == "pycuda":
        return f"{pip_install(name)} (it is built with the CUDA toolkit's headers)"
    return f"pip install 'cuda-python=={driver.cuda // 1000}.*'" if driver else pip_install(name)


def _import(binding: str, modules: tuple[str, ...]) -> ModuleType | None:
    for name in modules:
        try:
            return import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
        except ImportError as error:
            if "libcuda" in str(error):
                raise no_driver(binding) from error
            raise MissingDependencyError(
                binding, f"is installed and does not load ({error})", "install it again, for the CUDA that is here"
            ) from error
    return None


def no_gpu(index: int, count: int) -> SegFaceEdgeError:
    """The error for a GPU beyond the last."""
    if not count:
        return no_driver(f"GPU {index}")
    return UsageError(f"device 'cuda:{index}'", f"does not exist: there are {count}", f"use cuda:0 to cuda:{count - 1}")


def failed(gpu: int, words: str) -> IncompatibleEngineError:
    """The error for a call of CUDA that failed."""
    return IncompatibleEngineError(f"GPU {gpu}", f"failed ({words})", "see nvidia-smi and the kernel's log (dmesg)")


def out_of_memory(gpu: int, size: int) -> IncompatibleEngineError:
    """The error for `size` bytes that are not there."""
    return IncompatibleEngineError(
        f"GPU {gpu}", f"has no {size / MIB:.1f} MiB left", "lower the batch, or end other programs that use it"
    )
