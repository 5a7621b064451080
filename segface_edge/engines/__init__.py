"""Engines: a file or folder each, behind the seam of `base.py`. `open_engine` chooses by the model file's suffix."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from os import PathLike
from pathlib import Path

from segface_edge.errors import IncompatibleEngineError, UsageError, missing_extra

from .base import MAX_THREADS, PLAN_SUFFIXES, Engine, Output
from .fake import FakeEngine

__all__ = ["ENGINES", "MAX_THREADS", "PLAN_SUFFIXES", "Engine", "FakeEngine", "Output"]
__all__ += ["check_spec", "engine_name", "import_engine", "open_engine"]

# Engine -> where its class is. By name, so that no runtime package is imported before it is asked for. Two live
# above this room: the torch engine with the network, and plans with what they are compared by.
ENGINES = {
    "onnxruntime": "segface_edge.engines.ort.engine:OrtEngine",
    "onnxruntime-tensorrt": "segface_edge.engines.ort.engine:OrtTensorRTEngine",
    "tensorrt": "segface_edge.evaluation.checked_plans:open_tensorrt",
    "tensorrt-pycuda": "segface_edge.evaluation.checked_plans:open_with_pycuda",
    "tensorrt-cuda-python": "segface_edge.evaluation.checked_plans:open_with_cuda_python",
    "openvino": "segface_edge.engines.openvino:OpenVINOEngine",
    "litert": "segface_edge.engines.litert:LiteRTEngine",
    "executorch": "segface_edge.engines.executorch:ExecuTorchEngine",
    "ncnn": "segface_edge.engines.ncnn:NcnnEngine",
    "torch": "segface_edge.network.engine:TorchEngine",
    "torch-compiled": "segface_edge.network.engine:CompiledTorchEngine",
}
_EXTRAS = {
    "torch": "export",
    "safetensors": "export",
    "openvino": "openvino",
    "ai_edge_litert": "litert",
    "executorch": "executorch",
    "ncnn": "ncnn",
}
_CHECKPOINTS = (".safetensors", ".pt", ".pth")
# Engine -> what it reads. A file's own engine is the first that reads its suffix.
_READS = {
    "onnxruntime": (".onnx",),
    "onnxruntime-tensorrt": (".onnx",),
    **dict.fromkeys(("tensorrt", "tensorrt-pycuda", "tensorrt-cuda-python"), (*PLAN_SUFFIXES, ".onnx")),
    "openvino": (".xml", ".onnx"),
    "litert": (".tflite",),
    "executorch": (".pte",),
    "ncnn": (".param",),
    **dict.fromkeys(("torch", "torch-compiled"), _CHECKPOINTS),
}
_SUFFIXES: dict[str, str] = {}
for _name, _suffixes in _READS.items():
    for _suffix in _suffixes:
        _SUFFIXES.setdefault(_suffix, _name)


def open_engine(
    model: str | PathLike[str],
    *,
    device: str = "cpu",
    engine: str | None = None,
    threads: int | None = None,
    spec: str | PathLike[str] | None = None,
) -> Engine:
    """Loads a model file.

    Args:
        model: an ONNX file, a TensorRT plan (needs TensorRT), a file of `export --target` (needs its runtime), or a
            checkpoint (needs torch).
        device: `cpu`, `cuda` or `cuda:N`; of OpenVINO `cpu`, `gpu`, `gpu:N` (Intel's) or `npu`. A plan runs on a GPU,
            by default the first.
        engine: a key of `ENGINES`; None chooses by the file's suffix.
        threads: CPU threads per operator; None leaves it to the engine.
        spec: for a plan that says nothing of itself: the ONNX file, or another plan's `.json`, that tells.

    Raises:
        UsageError: unknown engine, device or suffix; a `spec` for a file that has its own.
        IncompatibleEngineError: the engine that was asked for reads no such files.
        MissingDependencyError: the engine's package is not installed.
        SegFaceEdgeError: what the engine's own constructor raises.
    """
    if threads is not None and not 1 <= threads <= MAX_THREADS:
        raise UsageError(f"threads {threads}", "is out of range", f"give 1 to {MAX_THREADS}")
    opener = import_engine(model, engine)
    options = {}
    if spec is not None:
        check_spec(model, spec)
        from segface_edge.engines.nvidia.spec_file import read_spec

        options["spec"] = read_spec(Path(spec))
    return opener(Path(model), device=device, threads=threads, **options)


def check_spec(model: str | PathLike[str], spec: str | PathLike[str]) -> None:
    """Raises UsageError where `spec` is given for a file that says itself what it is."""
    if Path(model).suffix.lower() not in PLAN_SUFFIXES:
        raise UsageError(f"--spec {spec}", f"{model} says what it is itself", "leave it out")


def engine_name(model: str | PathLike[str], engine: str | None = None) -> str:
    """The key of `ENGINES` that runs `model`: `engine`, where it reads such files, or what the suffix says. Errors as
    above; nothing is opened or imported."""
    path = Path(model)
    suffix = path.suffix.lower()
    name = _SUFFIXES.get(suffix) if engine is None else engine
    if name is None:
        raise UsageError(path, f"no engine runs '{path.suffix}' files", f"give one of: {', '.join(_SUFFIXES)}")
    if name not in ENGINES:
        raise UsageError(f"engine {name!r}", "is unknown", f"use one of: {', '.join(ENGINES)}")
    # A suffix that no engine knows may be anything: the engine itself looks.
    if suffix in _SUFFIXES and suffix not in _READS[name]:
        cure = f"give one of: {', '.join(_READS[name])}; or leave the engine out"
        raise IncompatibleEngineError(path, f"is no file that engine '{name}' reads", cure)
    return name


def import_engine(model: str | PathLike[str], engine: str | None = None) -> Callable[..., Engine]:
    """The class of the engine that runs `model`; importing it imports its runtime. Arguments and errors as above."""
    path = Path(model)
    name = engine_name(path, engine)
    module, _, attribute = ENGINES[name].partition(":")
    try:
        loaded = import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _EXTRAS:
            raise
        raise missing_extra(error.name, _EXTRAS[error.name.partition(".")[0]], f"engine '{name}'") from error
    if name.startswith("tensorrt"):
        loaded.import_runtime(path)
    found: Callable[..., Engine] = getattr(loaded, attribute)
    return found
