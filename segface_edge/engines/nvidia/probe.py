"""Which of NVIDIA's software is here, in which versions, whether they fit each other, and what mends what does not."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from segface_edge.errors import MissingDependencyError

from .cuda import BINDINGS, installs_binding
from .driver import Driver, cuda_version, is_jetson, no_driver, read_driver
from .runtimes import RUNTIMES, installs, load, numbers


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One part.

    Attributes:
        name: of it.
        ok: it is there, and fits the others.
        state: version, or what is wrong.
        cure: the command that mends it; empty where nothing is to mend.
    """

    name: str
    ok: bool
    state: str
    cure: str = ""


def findings() -> list[Finding]:
    """The driver, TensorRT, TensorRT-RTX and the CUDA bindings, each with what is wrong between it and the others."""
    driver = read_driver()
    return [
        _driver(driver),
        _runtime("tensorrt", driver),
        _runtime("rtx", driver),
        *(_binding(name, driver) for name in BINDINGS),
    ]


def library_version(major: int) -> str | None:
    """The version of the TensorRT library that the system's loader finds, None where it finds none."""
    try:
        library = ctypes.CDLL(f"libnvinfer.so.{major}")
    except OSError:
        return None
    number = int(library.getInferLibVersion())
    # 10.3.0 is 100300; before 10, 8.6.1 was 8601.
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}"


def _driver(driver: Driver | None) -> Finding:
    if driver is None:
        error = no_driver("driver")
        return Finding(name="NVIDIA driver", ok=False, state="not here (libcuda.so.1)", cure=error.cure)
    state = f"runs CUDA up to {cuda_version(driver.cuda)}"
    if not driver.gpus:
        return Finding(name="NVIDIA driver", ok=False, state=f"{state}, finds no GPU", cure="see nvidia-smi and dmesg")
    return Finding(name="NVIDIA driver", ok=True, state=f"{state}; {', '.join(driver.gpus)}")


def _runtime(name: str, driver: Driver | None) -> Finding:
    title = RUNTIMES[name].title
    try:
        module = load(name, title)
    except MissingDependencyError as error:
        # What is missing of the package itself is said, not that it has no driver to run on: that has its own line.
        absent = "not installed" if not _installed(name) else error.problem
        return Finding(
            name=title, ok=False, state=absent, cure=installs(name) if absent == "not installed" else error.cure
        )
    found = str(module.__version__)
    if name == "rtx":
        return Finding(name=title, ok=True, state=found)
    library = library_version(numbers(found)[0])
    if library and numbers(library)[:2] != numbers(found)[:2]:
        return Finding(
            name=title,
            ok=False,
            state=f"{found}, and the system's library libnvinfer is {library}",
            cure=f"make them one version: {installs(name)}",
        )
    wants = _cuda_of_wheels()
    if driver and wants and wants > driver.cuda // 1000:
        return Finding(
            name=title,
            ok=False,
            state=f"{found} for CUDA {wants}, the driver runs CUDA up to {cuda_version(driver.cuda)}",
            cure=f"update the driver, or pip install 'tensorrt-cu{driver.cuda // 1000}'",
        )
    return Finding(name=title, ok=True, state=found)


def _binding(name: str, driver: Driver | None) -> Finding:
    about = BINDINGS[name]
    found = _version("cuda-bindings") or _version(name) if name == "cuda-python" else _version(name)
    if not found:
        return Finding(name=name, ok=False, state="not installed", cure=installs_binding(name, driver))
    error: ImportError | None = None
    for module in about.modules:
        try:
            import_module(module)
        except ImportError as problem:
            error = problem
        else:
            break
    else:
        cure = (
            no_driver(name).cure if "libcuda" in str(error) else f"install it again: {installs_binding(name, driver)}"
        )
        return Finding(name=name, ok=False, state=f"{found} does not load ({error})", cure=cure)
    major = numbers(found)[0]
    # pycuda's version is a year.
    if name == "cuda-python" and driver and major > driver.cuda // 1000:
        return Finding(
            name=name,
            ok=False,
            state=f"{found} is for CUDA {major}, the driver runs CUDA up to {cuda_version(driver.cuda)}",
            cure=installs_binding(name, driver),
        )
    return Finding(name=name, ok=True, state=found)


def _installed(name: str) -> bool:
    return any(find_spec(modules[-1]) is not None for modules in RUNTIMES[name].modules)


def _cuda_of_wheels() -> int | None:
    """CUDA's major version that pip's TensorRT is for; a Jetson's is its system's."""
    if is_jetson():
        return None
    return next((major for major in (13, 12) if _version(f"tensorrt-cu{major}")), None)


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
