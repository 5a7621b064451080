"""TensorRT and TensorRT-RTX: which of them is here, in which version, its log, and its errors in our words."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

from segface_edge.errors import MissingDependencyError, UsageError
from segface_edge.extras import pip_install
from segface_edge.files import count_in

from .driver import driver_is_here, is_jetson, no_driver


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """One of NVIDIA's two.

    Attributes:
        title: its name.
        modules: its Python package's modules, each with what must be imported before it.
        oldest: version that this product runs on.
    """

    title: str
    modules: tuple[tuple[str, ...], ...]
    oldest: tuple[int, int]


RUNTIMES: dict[str, Runtime] = {
    "tensorrt": Runtime(title="TensorRT", modules=(("tensorrt",),), oldest=(10, 3)),
    # NVIDIA's own package, or the one that ONNX Runtime's package brings the libraries for.
    "rtx": Runtime(
        title="TensorRT-RTX",
        modules=(("tensorrt_rtx",), ("onnxruntime_ep_nv_tensorrt_rtx", "tensorrt_rtx_bindings")),
        oldest=(1, 0),
    ),
}


def load(name: str, subject: object) -> ModuleType:
    """The Python module of a runtime.

    Args:
        name: key of `RUNTIMES`.
        subject: who needs it, for the message.

    Raises:
        UsageError: unknown name.
        MissingDependencyError: its package, its library or the driver is missing, or it is too old.
    """
    if name not in RUNTIMES:
        raise UsageError(f"runtime {name!r}", "is unknown", f"use one of: {', '.join(RUNTIMES)}")
    runtime = RUNTIMES[name]
    for modules in runtime.modules:
        try:
            *_, module = [import_module(one) for one in modules]
        except ModuleNotFoundError as error:
            if error.name not in modules:
                raise broken(subject, name, error) from error
        except ImportError as error:
            raise broken(subject, name, error) from error
        else:
            version = str(getattr(module, "__version__", "0"))
            if numbers(version) < runtime.oldest:
                raise too_old(subject, name, version)
            return module
    if name == "tensorrt" and not driver_is_here():
        raise no_driver(subject)  # with it, the rest of what is missing can be seen to
    raise MissingDependencyError(
        subject, f"{runtime.title}'s Python package is not installed", f"install it: {installs(name)}"
    )


def broken(subject: object, name: str, error: ImportError) -> MissingDependencyError:
    """The error for a Python package that is there and does not load."""
    title, words = RUNTIMES[name].title, str(error)
    if "libcuda.so" in words:
        return no_driver(subject)
    if "libnvinfer" in words or "libtensorrt" in words:
        return MissingDependencyError(
            subject, f"{title}'s Python package is here, its library is not ({words})", libraries(name)
        )
    return MissingDependencyError(subject, f"{title} does not load ({words})", f"install it again: {installs(name)}")


def too_old(subject: object, name: str, version: str) -> MissingDependencyError:
    """The error for a version before the oldest."""
    runtime = RUNTIMES[name]
    oldest = ".".join(map(str, runtime.oldest))
    cure = "use JetPack 6.1 or later" if is_jetson() else f"install a later one: {installs(name)}"
    return MissingDependencyError(subject, f"{runtime.title} {version} is older than {oldest}", cure)


def installs(name: str) -> str:
    """The command that installs a runtime here."""
    if name == "rtx":
        return pip_install("rtx")
    if is_jetson():
        return (
            "sudo apt install python3-libnvinfer, and make the virtual environment with --system-site-packages "
            "(JetPack's package is not on pip)"
        )
    return pip_install("tensorrt")


def libraries(name: str) -> str:
    """The command that installs a runtime's shared libraries here."""
    if name == "tensorrt" and is_jetson():
        return "sudo apt install tensorrt; in a container, start it with docker run --runtime nvidia"
    return f"install it again: {installs(name)}; or add its folder to LD_LIBRARY_PATH"


def numbers(version: str) -> tuple[int, ...]:
    """`10.3.0.26` -> (10, 3, 0, 26); what is no number ends it."""
    found = []
    for part in version.split("."):
        number = count_in(part)
        if number is None:
            break
        found.append(number)
    return tuple(found)
