"""ONNX Runtime."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from segface_edge.errors import IncompatibleEngineError, InputError, MissingDependencyError, ModelFileError, UsageError
from segface_edge.imaging import UInt8Array
from segface_edge.spec import METADATA_KEY, ModelSpec

from .base import Engine, Output

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_SILENT = 4  # ONNX Runtime's log level "fatal": what matters is raised, and said in our words
_Tensor = tuple[str, Any, tuple[int | None, ...]]  # name, type, shape
_DTYPES = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}


class OrtEngine(Engine):
    """An ONNX file in ONNX Runtime.

    Args:
        path: an ONNX file that segface-edge wrote.
        device: `cpu`, `cuda` or `cuda:N`. A provider that does not load is an error, never a silent run on the CPU.
        threads: threads per operator; None leaves it to ONNX Runtime (one per physical core).

    Raises:
        ModelFileError: the file is absent or damaged.
        IncompatibleEngineError: it has no segface-edge metadata, or metadata that its own inputs and outputs belie.
        MissingDependencyError: this ONNX Runtime has no CUDA provider, or it does not load.
    """

    def __init__(self, path: Path, *, device: str = "cpu", threads: int | None = None) -> None:
        self.source = str(path)
        self.device = device
        self._threads = threads
        session, self._optimisation = _open(path, device, threads)
        self.spec = _spec(session, self.source)
        _check_contract(session, self.spec, self.source)
        self._input = session.get_inputs()[0].name
        self._providers = session.get_providers()
        self._session: ort.InferenceSession | None = session
        mean, std = np.array(self.spec.mean, np.float32), np.array(self.spec.std, np.float32)
        self._scale, self._shift = 1 / (255 * std), -mean / std

    def run(self, frames: UInt8Array) -> Output:
        """Runs (N, S, S, 3) uint8 RGB."""
        if self._session is None:
            raise UsageError(self.source, "is closed", "open it again")
        feed: npt.NDArray[Any] = frames
        if self.spec.graph == "reference":
            normalised = frames.astype(np.float32) * self._scale + self._shift
            feed = np.ascontiguousarray(normalised.transpose(0, 3, 1, 2))
        try:
            values = self._session.run(list(self.spec.outputs), {self._input: feed})
        except Exception as error:  # ONNX Runtime's errors have no common base but Exception
            raise IncompatibleEngineError(
                self.source, f"ONNX Runtime failed to run it ({error})", "export it again: segface-edge export"
            ) from error
        found = dict(zip(self.spec.outputs, values, strict=True))
        logits = found.get("logits")
        labels = found["labels"] if "labels" in found else found["logits"].argmax(axis=1).astype(np.uint8)
        return Output(labels, found.get("confidence"), logits)

    def describe(self) -> dict[str, object]:
        """Runtime, version, providers that are in use, threads, how far the graph is optimised."""
        return {
            "runtime": "onnxruntime",
            "version": ort.__version__,
            "providers": self._providers,
            "threads": self._threads or "default",
            "optimisation": self._optimisation,
        }

    def close(self) -> None:
        """Frees the session."""
        self._session = None


def _open(path: Path, device: str, threads: int | None) -> tuple[ort.InferenceSession, str]:
    """The session, and how far ONNX Runtime was let optimise its graph."""
    kind, colon, index = device.partition(":")
    if kind not in _PROVIDERS or (colon and (kind == "cpu" or not index.isdecimal())):
        raise UsageError(f"device {device!r}", "is unknown to ONNX Runtime", "use cpu, cuda or cuda:N")
    provider = _PROVIDERS[kind]
    if provider not in ort.get_available_providers():
        raise MissingDependencyError(
            f"device {device!r}",
            "this ONNX Runtime is built without CUDA",
            "replace it: pip uninstall onnxruntime && pip install onnxruntime-gpu",
        )
    if not path.is_file():
        raise ModelFileError(path, "no such file", "give an ONNX file, or make one: segface-edge export")
    options = ort.SessionOptions()
    options.log_severity_level = _SILENT
    # Its threads spin while they wait for work, also after a run is done: that takes the cores from whatever comes
    # next (decoding, drawing, another model), and power from the battery. Within a run they still spin.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if threads is not None:
        options.intra_op_num_threads = threads
    settings = [{"device_id": index}] if index else [{}]
    try:
        # From bytes: an ONNX file is complete in itself, and may not name other files to be read.
        content = path.read_bytes()
        left_out, entries, optimisation = _optimisation(_precision(content), kind)
        for key, value in entries.items():
            options.add_session_config_entry(key, value)
        session = ort.InferenceSession(
            content, options, providers=[provider], provider_options=settings, disabled_optimizers=left_out
        )
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "check its permissions") from error
    except Exception as error:  # ONNX Runtime's errors have no common base but Exception
        raise ModelFileError(path, "is not a readable ONNX model", "export it again: segface-edge export") from error
    if provider not in session.get_providers():
        raise MissingDependencyError(
            f"device {device!r}",
            "ONNX Runtime's CUDA provider did not load",
            "install the CUDA and cuDNN versions that this onnxruntime-gpu was built for",
        )
    return session, optimisation


def _precision(content: bytes) -> str:
    """The precision that the file's metadata names, "fp32" where there is none: what is wrong is said later."""
    options = ort.SessionOptions()
    options.log_severity_level = _SILENT
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    try:
        document = json.loads(session.get_modelmeta().custom_metadata_map.get(METADATA_KEY, ""))
    except (ValueError, RecursionError):
        return "fp32"
    return str(document.get("precision")) if isinstance(document, dict) else "fp32"


def _optimisation(precision: str, kind: str) -> tuple[list[str], dict[str, str], str]:
    """Optimisers left out, entries of the session's configuration, both in words: one rule for all uses of a file."""
    if kind != "cpu" or precision not in ("fp16", "int8"):
        return [], {}, "all"
    # With it, some fp16 graphs end the process (seen from ONNX Runtime 1.24.4 to 1.32).
    left_out, words = ["NchwcTransformer"], "all but NchwcTransformer"
    if precision == "int8" and not _int8_products():
        # Its int8 kernels add pairs of products in 16 bits, which saturate. Values are rounded to int8 all the same.
        return left_out, {"session.disable_quant_qdq": "1"}, f"{words}; products in fp32: this CPU's of int8 saturate"
    return left_out, {}, words


def _int8_products() -> bool:
    """Whether the CPU multiplies int8 without saturation: ARM does, x86 from its VNNI on."""
    if platform.machine() not in ("x86_64", "AMD64", "i686"):
        return True
    try:
        return "vnni" in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def _spec(session: ort.InferenceSession, source: str) -> ModelSpec:
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        raise IncompatibleEngineError(
            source, "has no segface-edge metadata", "export the checkpoint with: segface-edge export --weights FILE"
        )
    return ModelSpec.from_json(text, source=source)


def _check_contract(session: ort.InferenceSession, spec: ModelSpec, source: str) -> None:
    """Compares what the metadata promises with the graph's own inputs and outputs."""
    n, s, k = spec.batch, spec.size, len(spec.classes)
    inputs: list[_Tensor] = (
        [("frames", np.uint8, (n, s, s, 3))] if spec.graph == "deploy" else [("images", np.float32, (n, 3, s, s))]
    )
    outputs: list[_Tensor] = [
        (kind, np.float32, (n, k, s, s)) if kind == "logits" else (kind, np.uint8, (n, s, s)) for kind in spec.outputs
    ]
    for promised, real in ((inputs, session.get_inputs()), (outputs, session.get_outputs())):
        found: list[_Tensor] = [
            (node.name, _DTYPES.get(node.type, node.type), tuple(d if isinstance(d, int) else None for d in node.shape))
            for node in real
        ]
        if found != promised:
            raise IncompatibleEngineError(
                source,
                f"its metadata promises {_contract(promised)}, the graph has {_contract(found)}",
                "export it again: segface-edge export",
            )


def _contract(tensors: list[_Tensor]) -> str:
    def shape(dims: tuple[int | None, ...]) -> str:
        return "x".join("N" if d is None else str(d) for d in dims)

    return ", ".join(f"{name} {shape(dims)} {getattr(dtype, '__name__', dtype)}" for name, dtype, dims in tensors)
