"""ONNX Runtime."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from copy import copy
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from segface_edge.errors import IncompatibleEngineError, InputError, ModelFileError, SegFaceEdgeError, UsageError
from segface_edge.pictures.imaging import UInt8Array
from segface_edge.spec import METADATA_KEY, PARITY_KEY, PRECISION_KEY, ModelSpec

from . import ort_gpu
from .base import Engine, Output, cores
from .ort_gpu import CPU, CUDA, TENSORRT, BoundSession, Tensor

# ONNX Runtime's log levels "warning", its own default, and "fatal": what matters is raised, and said in our words.
_DEFAULT, _SILENT = 2, 4
# A CPU computes one frame after another where it has so few threads: of a batch, feature maps leave its caches between
# layers. `benchmarks/video.py` measures it (two cores: a tenth less time a frame than in eights).
_FEW_THREADS = 4
_NO_CPU = "session.disable_cpu_ep_fallback"
_DTYPES = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}


class OrtEngine(Engine):
    """An ONNX file in ONNX Runtime.

    On a GPU: unverified until run on one. Inputs and outputs are bound to memory that is allocated once per batch
    size, so runs of one engine take turns. The CPU gets no nodes but those that compute shapes.

    Args:
        path: an ONNX file that segface-edge wrote.
        device: `cpu`, `cuda` or `cuda:N`. A provider that does not load is an error, never a silent run on the CPU.
        threads: threads per operator; None leaves it to ONNX Runtime (one per physical core).

    Raises:
        ModelFileError: the file is absent or damaged.
        IncompatibleEngineError: it has no segface-edge metadata, or metadata that its own inputs and outputs belie;
            or the GPU cannot run all of it.
        MissingDependencyError: this ONNX Runtime has no provider for the device, or it does not load.
        UsageError: an unknown device, or one that is not in this machine.
    """

    # Those that run it on a GPU: a node goes to the first one that takes it.
    _on_gpu: ClassVar[tuple[str, ...]] = (CUDA,)
    _on_cpu: ClassVar[bool] = True

    def __init__(self, path: Path, *, device: str = "cpu", threads: int | None = None) -> None:
        self.source = str(path)
        self.device = device
        self._threads = threads
        index = _gpu_index(device)
        if index is None and not self._on_cpu:
            raise UsageError(
                f"device {device!r}", "is not one for TensorRT", "use cuda or cuda:N, or the engine onnxruntime"
            )
        providers = (CPU,) if index is None else self._on_gpu
        session, self._optimisation, self._nodes = _open(path, device, index, threads, providers)
        self.spec = _spec(session, self.source)
        _check_contract(session, self.spec, self.source)
        feed, *outputs = _contract(self.spec)
        self._input = feed[0]
        if index is None and (threads or cores() or 1) <= _FEW_THREADS:
            self.max_batch = 1
        self._providers = session.get_providers()
        self._session: ort.InferenceSession | None = session
        self._bound = None if index is None else BoundSession(session, self.source, _allocator(index), feed, outputs)
        self._clock: Callable[[], float] | None = None
        self._transfers = {"host_to_device": 0.0, "device_to_host": 0.0}
        mean, std = np.array(self.spec.mean, np.float32), np.array(self.spec.std, np.float32)
        self._scale, self._shift = 1 / (255 * std), -mean / std

    def run(self, frames: UInt8Array) -> Output:
        """Runs (N, S, S, 3) uint8 RGB."""
        session = self._session
        if session is None:
            raise UsageError(self.source, "is closed", "open it again")
        feed: npt.NDArray[Any] = frames
        if self.spec.graph == "reference":
            normalised = frames.astype(np.float32) * self._scale + self._shift
            feed = np.ascontiguousarray(normalised.transpose(0, 3, 1, 2))
        try:
            if self._bound is None:
                values = session.run(list(self.spec.outputs), {self._input: feed})
                found = dict(zip(self.spec.outputs, values, strict=True))
            else:
                found = self._run_bound(self._bound, feed)
        except SegFaceEdgeError:
            raise
        except Exception as error:  # ONNX Runtime's errors have no common base but Exception
            cure = "export it again: segface-edge export" if self._bound is None else "use fewer frames a call, or cpu"
            raise IncompatibleEngineError(self.source, f"ONNX Runtime failed to run it ({error})", cure) from error
        logits = found.get("logits")
        labels = found["labels"] if "labels" in found else found["logits"].argmax(axis=1).astype(np.uint8)
        return Output(labels, found.get("confidence"), logits)

    def _run_bound(self, bound: BoundSession, feed: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
        if self._clock is None:
            return bound.run(feed)[0]
        found, there, back = bound.run(feed, self._clock)
        self._transfers["host_to_device"] += there
        self._transfers["device_to_host"] += back
        return found

    def infer_staged(self, frames: UInt8Array, now: Callable[[], float]) -> tuple[Output, dict[str, float]]:
        """On a GPU the copies apart; `inference` is all the rest, so that the stages add up to the whole."""
        if self._bound is None:
            return super().infer_staged(frames, now)
        # The same session and memory with a clock of its own: other threads may run this engine meanwhile.
        timed = copy(self)
        timed._clock, timed._transfers = now, dict.fromkeys(self._transfers, 0.0)
        start = now()
        output = timed.infer(frames)
        there, back = timed._transfers["host_to_device"], timed._transfers["device_to_host"]
        rest = now() - start - there - back
        return output, {"host_to_device": there, "inference": rest, "device_to_host": back}

    def describe(self) -> dict[str, object]:
        """Runtime, version, providers that are in use, threads, how far the graph is optimised.

        On a GPU also the device, `io_binding`, and `nodes`: how many each provider runs, None where this version of
        ONNX Runtime does not say.
        """
        on_gpu = {} if self._bound is None else {"device": self.device, "io_binding": True, "nodes": self._nodes}
        return {
            "runtime": "onnxruntime",
            "version": ort.__version__,
            "providers": self._providers,
            "threads": self._threads or "default",
            "optimisation": self._optimisation,
            **on_gpu,
        }

    def close(self) -> None:
        """Frees the session, and its memory on the GPU."""
        self._session = None
        if self._bound is not None:
            self._bound.close()


class OrtTensorRTEngine(OrtEngine):
    """The same with TensorRT's provider first; the nodes that it does not take run on CUDA.

    Unverified until run on a GPU.

    The precision is the file's: no builder flag changes it. TensorRT builds its engine when the file is opened, and
    where the batch is open again for each larger one: give it a file with a fixed batch. Its cache of engines is
    off: ONNX Runtime does not key it by TensorRT's version (its issue 14269), and a stale engine is worse than a
    slow start.

    Args:
        path: an ONNX file that segface-edge wrote.
        device: `cuda` or `cuda:N`.
        threads: as for OrtEngine.

    Raises:
        UsageError: the device is the CPU.
        SegFaceEdgeError: as for OrtEngine; IncompatibleEngineError also where TensorRT takes none of the nodes.
    """

    _on_gpu = (TENSORRT, CUDA)
    _on_cpu = False


def _gpu_index(device: str) -> int | None:
    """The GPU's number, None for the CPU."""
    kind, colon, index = device.partition(":")
    if kind not in ("cpu", "cuda") or (colon and (kind == "cpu" or not index.isdecimal())):
        raise UsageError(f"device {device!r}", "is unknown to ONNX Runtime", "use cpu, cuda or cuda:N")
    return None if kind == "cpu" else int(index or 0)


def _allocator(index: int) -> Callable[..., Any]:
    """Makes values of a shape and a type on GPU `index`."""
    return lambda shape, dtype: ort.OrtValue.ortvalue_from_shape_and_type(shape, dtype, "cuda", index)


def _open(
    path: Path, device: str, index: int | None, threads: int | None, providers: tuple[str, ...]
) -> tuple[ort.InferenceSession, str, dict[str, int] | None]:
    """The session, how far ONNX Runtime was let optimise its graph, and on a GPU the nodes of each provider."""
    available = ort.get_available_providers()
    for provider in providers:
        if provider not in available:
            raise ort_gpu.built_without(provider, device)
    if not path.is_file():
        raise ModelFileError(path, "no such file", "give an ONNX file, or make one: segface-edge export")
    options = ort.SessionOptions()
    options.log_severity_level = _SILENT
    # Its threads spin while they wait for work, also after a run is done: that takes the cores from whatever comes
    # next (decoding, drawing, another model), and power from the battery. Within a run they still spin.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        # From bytes: an ONNX file is complete in itself, and may not name other files to be read.
        content = path.read_bytes()
        left_out, entries, optimisation = _optimisation(_precision(content), "cpu" if index is None else "cuda")
        for key, value in entries.items():
            options.add_session_config_entry(key, value)
        if index is None:
            session = ort.InferenceSession(
                content, options, providers=list(providers), disabled_optimizers=left_out, enable_fallback=0
            )
            return session, optimisation, None
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "check its permissions") from error
    except Exception as error:  # ONNX Runtime's errors have no common base but Exception
        raise ModelFileError(path, "is not a readable ONNX model", "export it again: segface-edge export") from error
    with _quiet():
        session, nodes = _open_on_gpu(content, options, providers, index, device, str(path))
    return session, optimisation, nodes


def _open_on_gpu(
    content: bytes, options: ort.SessionOptions, providers: tuple[str, ...], index: int, device: str, source: str
) -> tuple[ort.InferenceSession, dict[str, int] | None]:
    """A session that computes on the GPU alone, and the nodes of each provider. The model itself is sound."""
    if hasattr(ort, "preload_dlls"):  # from 1.21: finds the CUDA and cuDNN that pip installed
        with redirect_stdout(StringIO()):  # it prints what it does not find, also where the system's serves
            ort.preload_dlls()
    # The providers that it got need not be all that was asked for: ONNX Runtime leaves out what does not load.
    # Forbidding it the CPU is too much: CUDA's provider itself gives the CPU the shapes of an open batch, so every
    # such file would be refused. From 1.24 on it tells which node went where. Before, forbidding is all there is.
    tells = hasattr(ort.InferenceSession, "get_provider_graph_assignment_info")
    options.add_session_config_entry("session.record_ep_graph_assignment_info" if tells else _NO_CPU, "1")

    def start() -> ort.InferenceSession:
        return ort.InferenceSession(
            content,
            options,
            providers=list(providers),
            provider_options=[{"device_id": str(index)}] * len(providers),
            enable_fallback=0,  # else it prints, and tries again on the CPU
        )

    refused = None
    try:
        try:
            session = start()
        except Exception as error:
            if tells or ort_gpu.REFUSED_CPU not in str(error):
                raise
            # It refuses a graph that the CPU would compute because its provider did not load, too: which one is it?
            refused = error
            options.add_session_config_entry(_NO_CPU, "0")
            session = start()
    except RuntimeError as error:  # a provider does not start; what a session raises is no RuntimeError
        raise ort_gpu.not_created(providers[0], device, str(error)) from error
    except Exception as error:
        raise IncompatibleEngineError(
            source, f"ONNX Runtime cannot open it on the GPU ({error})", "use another engine, or the device cpu"
        ) from error
    loaded = session.get_providers()
    for provider in providers:
        if provider not in loaded:
            raise ort_gpu.not_loaded(provider, device, Path(ort.__file__).parent / "capi")
    if refused is not None:
        raise ort_gpu.left_to_cpu(source, "a part of it would run on the CPU") from refused
    if not tells:
        return session, None
    parts = [
        (part.ep_name, [node.op_type for node in part.get_nodes()])
        for part in session.get_provider_graph_assignment_info()
    ]
    return session, ort_gpu.check_assignment(parts, providers, source)


@contextmanager
def _quiet() -> Iterator[None]:
    """A provider that does not load says so in the log of the whole process, over many lines; not in here."""
    ort.set_default_logger_severity(_SILENT)
    try:
        yield
    finally:
        ort.set_default_logger_severity(_DEFAULT)


@dataclass(frozen=True, kw_only=True)
class FileMetadata:
    """What an ONNX file says of itself.

    Attributes:
        spec: its contract, which its inputs and outputs keep.
        parity: reports of its checks, as `Parity.to_dict` makes them.
        calibration_sha256: of the frames that int8 was calibrated on, or None.
    """

    spec: ModelSpec
    parity: list[Any]
    calibration_sha256: str | None


def read_metadata(path: Path) -> FileMetadata:
    """Reads it without running the file. Errors as of `OrtEngine` on the CPU."""
    if not path.is_file():
        raise ModelFileError(path, "no such file", "give an ONNX file, or make one: segface-edge export")
    try:
        session = _plain_session(path.read_bytes())
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "check its permissions") from error
    except Exception as error:  # ONNX Runtime's errors have no common base but Exception
        raise ModelFileError(path, "is not a readable ONNX model", "export it again: segface-edge export") from error
    spec = _spec(session, str(path))
    _check_contract(session, spec, str(path))
    parity, chosen = _entry(session, PARITY_KEY), _entry(session, PRECISION_KEY)
    sha256 = chosen.get("calibration_sha256") if isinstance(chosen, dict) else None
    return FileMetadata(
        spec=spec,
        parity=parity if isinstance(parity, list) else [],
        calibration_sha256=sha256 if isinstance(sha256, str) else None,
    )


def _plain_session(content: bytes) -> ort.InferenceSession:
    """One that is only looked at."""
    options = ort.SessionOptions()
    options.log_severity_level = _SILENT
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    return ort.InferenceSession(content, options, providers=[CPU])


def _entry(session: ort.InferenceSession, key: str) -> Any:
    """An entry of the metadata, None where it is absent or no JSON."""
    try:
        return json.loads(session.get_modelmeta().custom_metadata_map.get(key, ""))
    except (ValueError, RecursionError):
        return None


def _precision(content: bytes) -> str:
    """The precision that the file's metadata names, "fp32" where there is none: what is wrong is said later."""
    document = _entry(_plain_session(content), METADATA_KEY)
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


def _contract(spec: ModelSpec) -> list[Tensor]:
    """What a graph with this metadata takes, and then what it gives."""
    n, s, k = spec.batch, spec.size, len(spec.classes)
    feed: Tensor = (
        ("frames", np.uint8, (n, s, s, 3)) if spec.graph == "deploy" else ("images", np.float32, (n, 3, s, s))
    )
    outputs: list[Tensor] = [
        (kind, np.float32, (n, k, s, s)) if kind == "logits" else (kind, np.uint8, (n, s, s)) for kind in spec.outputs
    ]
    return [feed, *outputs]


def _check_contract(session: ort.InferenceSession, spec: ModelSpec, source: str) -> None:
    """Compares what the metadata promises with the graph's own inputs and outputs."""
    feed, *outputs = _contract(spec)
    for promised, real in (([feed], session.get_inputs()), (outputs, session.get_outputs())):
        found: list[Tensor] = [
            (node.name, _DTYPES.get(node.type, node.type), tuple(d if isinstance(d, int) else None for d in node.shape))
            for node in real
        ]
        if found != promised:
            raise IncompatibleEngineError(
                source,
                f"its metadata promises {_words(promised)}, the graph has {_words(found)}",
                "export it again: segface-edge export",
            )


def _words(tensors: list[Tensor]) -> str:
    def shape(dims: tuple[int | None, ...]) -> str:
        return "x".join("N" if d is None else str(d) for d in dims)

    return ", ".join(f"{name} {shape(dims)} {getattr(dtype, '__name__', dtype)}" for name, dtype, dims in tensors)
