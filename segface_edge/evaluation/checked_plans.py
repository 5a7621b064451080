"""TensorRT engines of plans and of ONNX files; of these a plan is built once, compared with its file, and kept."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from segface_edge.engines import PLAN_SUFFIXES
from segface_edge.engines.nvidia.cache import cached_plan
from segface_edge.engines.nvidia.config import BuildConfig
from segface_edge.engines.nvidia.plan import read_plan_info
from segface_edge.engines.nvidia.run import TensorRTEngine
from segface_edge.engines.nvidia.runtimes import load
from segface_edge.errors import SegFaceEdgeError
from segface_edge.spec import ModelSpec


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
    if path.suffix.lower() not in PLAN_SUFFIXES:
        from .plan_parity import checked  # imports ONNX Runtime, which a plan does without

        path = cached_plan(path, config, checked)
    return TensorRTEngine(path, device=device, threads=threads, binding=binding, spec=spec, copy=copy)


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
