"""Plans of ONNX files, built once and kept: `FaceParser("model.onnx", engine="tensorrt")`."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from dataclasses import asdict
from pathlib import Path

from segface_edge.errors import InputError, ModelFileError
from segface_edge.spec import ModelSpec

from .build import BuildConfig, build, write_plan
from .cuda import open_cuda
from .plan import SUFFIXES
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

    Arguments and errors as for `TensorRTEngine` and, with an ONNX file, `tensorrt_build.build`.
    """
    plan = path
    if path.suffix not in SUFFIXES:
        plan = cached_plan(path, BuildConfig(device="cuda" if device == "cpu" else device, binding=binding))
    return TensorRTEngine(plan, device=device, threads=threads, binding=binding, spec=spec, copy=copy)


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
        SegFaceEdgeError: what `tensorrt_build.build` raises.
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
    plan = folder / f"{onnx.stem[:60]}-{gpu.compute}-{version}-{key[:16]}{SUFFIXES[0]}"
    if plan.exists():
        return plan
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(folder, f"cannot be made ({error.strerror})", "set XDG_CACHE_HOME to a folder") from error
    _LOG.warning("building a TensorRT engine of %s for %s, once; this takes minutes", onnx, gpu.name)
    write_plan(plan, build(onnx, config))
    return plan


def cache_folder() -> Path:
    """Where plans are kept: `$XDG_CACHE_HOME/segface-edge`, by default `~/.cache/segface-edge`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "segface-edge"
