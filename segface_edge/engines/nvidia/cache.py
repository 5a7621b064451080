"""Plans of ONNX files, built once and kept: `FaceParser("model.onnx", engine="tensorrt")`."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from segface_edge.engines.base import PLAN_SUFFIXES
from segface_edge.errors import InputError, ModelFileError, SegFaceEdgeError
from segface_edge.spec import ModelSpec

from .build import BuildConfig, Built, build, write_plan
from .cuda import open_cuda
from .plan import read_plan_info, sidecar
from .run import TensorRTEngine
from .runtimes import load

# Shown on standard error where a program sets up no logging of its own.
_LOG = logging.getLogger(__name__)


def open_tensorrt(
    path: Path,
    *,
    device: str = "cuda",
    threads: int | None = None,
    binding: str | None = None,
    spec: ModelSpec | None = None,
    copy: bool = True,
) -> TensorRTEngine:
    """Opens a plan, or the plan of an ONNX file, which is built where the cache has none that fits.

    Arguments and errors as for `TensorRTEngine` and, with an ONNX file, `build`.
    """
    config = BuildConfig(device="cuda" if device == "cpu" else device, binding=binding)
    plan = path if path.suffix.lower() in PLAN_SUFFIXES else cached_plan(path, config)
    return TensorRTEngine(plan, device=device, threads=threads, binding=binding, spec=spec, copy=copy)


def import_runtime(path: Path) -> None:
    """Imports what runs a plan, so that this can be timed apart; what is missing is said when the plan is opened."""
    with suppress(SegFaceEdgeError):
        info = read_plan_info(path) if path.suffix.lower() in PLAN_SUFFIXES else None
        load(info.runtime if info else "tensorrt", path)


def open_with_pycuda(path: Path, **options: object) -> TensorRTEngine:
    """`open_tensorrt` through pycuda."""
    return open_tensorrt(path, binding="pycuda", **options)  # type: ignore[arg-type]


def open_with_cuda_python(path: Path, **options: object) -> TensorRTEngine:
    """`open_tensorrt` through cuda-python."""
    return open_tensorrt(path, binding="cuda-python", **options)  # type: ignore[arg-type]


def cached_plan(onnx: Path, config: BuildConfig, folder: Path | None = None) -> Path:
    """The plan of an ONNX file for the GPU and the TensorRT that are here; it is built if it is not there.

    Args:
        onnx: a file that `segface-edge export` wrote.
        config: how to build.
        folder: of the plans; None: `cache_folder()`.

    Raises:
        ModelFileError: there is no such file.
        SegFaceEdgeError: what `build` raises.
    """
    try:
        sha256 = hashlib.sha256(onnx.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelFileError(onnx, f"cannot be read ({error.strerror})", "give an ONNX file") from error
    version = str(load(config.runtime, onnx).__version__)
    cuda = open_cuda(config.device, config.binding)
    gpu = cuda.gpu
    cuda.close()
    # All that a plan depends on; where the GPU is plugged in and the binding do not count.
    settings = {name: value for name, value in asdict(config).items() if name not in ("device", "binding")}
    parts = [sha256, config.runtime, version, gpu.name, gpu.compute, settings]
    key = hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
    folder = folder or cache_folder()
    plan = folder / f"{onnx.stem[:60]}-{gpu.compute}-{version}-{key[:16]}{PLAN_SUFFIXES[0]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(folder, f"cannot be made ({error.strerror})", "set XDG_CACHE_HOME to a folder") from error
    # Several workers of a server start at once: one builds, the others wait.
    with lock(plan):
        if not (plan.exists() and sidecar(plan).exists()):
            _LOG.warning("building a TensorRT engine of %s for %s, once; this takes minutes", onnx, gpu.name)
            write_plan(plan, _checked(onnx, build(onnx, config), config, plan))
    return plan


@contextmanager
def lock(plan: Path) -> Iterator[None]:
    """Held by one process at a time; let go of when the process ends, however it does."""
    try:
        file = plan.with_suffix(".lock").open("w")
    except OSError as error:
        raise InputError(
            plan.parent, f"cannot be written ({error.strerror})", "set XDG_CACHE_HOME to another"
        ) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _checked(onnx: Path, built: Built, config: BuildConfig, plan: Path) -> Built:
    """Compared with its ONNX file. By name, as the torch engine is: evaluation stands above engines."""
    checked: Built = import_module("segface_edge.evaluation.plan_parity").checked(onnx, built, config, plan)
    return checked


def cache_folder() -> Path:
    """Where plans are kept: `$XDG_CACHE_HOME/segface-edge`, by default `~/.cache/segface-edge`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "segface-edge"
