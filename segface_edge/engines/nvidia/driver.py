"""NVIDIA's driver: whether it is here, which CUDA it runs, and the errors where it does not do."""

from __future__ import annotations

import ctypes
import platform
from dataclasses import dataclass
from pathlib import Path

from segface_edge.errors import MissingDependencyError


@dataclass(frozen=True, kw_only=True)
class Driver:
    """NVIDIA's driver.

    Attributes:
        cuda: newest CUDA that it runs, 12060 for 12.6.
        gpus: names.
    """

    cuda: int
    gpus: tuple[str, ...]


def read_driver() -> Driver | None:
    """Asks the driver itself; None where there is none."""
    if not driver_is_here():
        return None
    library = ctypes.CDLL("libcuda.so.1")
    number, count = ctypes.c_int(), ctypes.c_int()
    library.cuDriverGetVersion(ctypes.byref(number))
    names = []
    if library.cuInit(0) == 0 and library.cuDeviceGetCount(ctypes.byref(count)) == 0:
        for index in range(count.value):
            name = ctypes.create_string_buffer(256)
            library.cuDeviceGetName(name, 256, index)
            names.append(name.value.decode(errors="replace"))
    return Driver(cuda=number.value, gpus=tuple(names))


def driver_is_here() -> bool:
    """Whether NVIDIA's driver can be loaded at all."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def is_jetson() -> bool:
    """Whether this is NVIDIA's Linux for Tegra."""
    return platform.machine() == "aarch64" and Path("/etc/nv_tegra_release").exists()


def no_driver(subject: object) -> MissingDependencyError:
    """The error for a machine without NVIDIA's driver, or without a GPU that it drives."""
    cure = "run it where nvidia-smi lists a GPU, or install NVIDIA's driver"
    if is_jetson():
        cure = "in a container, start it with the GPU: docker run --runtime nvidia"
    return MissingDependencyError(subject, "there is no NVIDIA driver and GPU here", cure)


def old_driver(subject: object, binding: str, words: str) -> MissingDependencyError:
    """The error for a driver that does not run the CUDA that a package is for."""
    return MissingDependencyError(
        subject,
        f"NVIDIA's driver is here and cannot be used by {binding} ({words})",
        "update the driver, or install the package for its CUDA: segface-edge doctor",
    )


def cuda_version(number: int) -> str:
    """12060 -> 12.6."""
    return f"{number // 1000}.{number % 1000 // 10}"
