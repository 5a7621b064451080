"""A plan, run with TensorRT 10.3 and later or TensorRT-RTX."""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from segface_edge.engines.base import Engine, Output
from segface_edge.errors import IncompatibleEngineError, SegFaceEdgeError, UsageError
from segface_edge.labels import label_set
from segface_edge.pictures.imaging import UInt8Array
from segface_edge.spec import IMAGENET_MEAN, IMAGENET_STD, ModelSpec

from .cuda import open_cuda
from .lane import Array, Lane, Tensor
from .log import Record, listening, start
from .plan import PlanInfo, read_plan, sidecar
from .runtimes import RUNTIMES, load, numbers

# Contexts of a thread, each for another number of frames: the one used longest ago makes room.
LANES = 4


class PlanWarning(UserWarning):
    """A plan that can be run, though not all that should be known of it is."""


class TensorRTEngine(Engine):
    """A plan on a GPU.

    Every thread has an execution context, buffers and a stream of its own for each number of frames that it asks for,
    `LANES` of them at most. Where the CUDA binding has graphs, the engine is queued as one.

    Args:
        path: a plan; `segface-edge build` makes one.
        device: `cuda` or `cuda:N`; `cpu`, which is what others say where nothing was asked for, is `cuda` here.
        threads: of CPUs; has no meaning here and must be None.
        binding: key of `cuda.BINDINGS`; None: the first that is installed.
        spec: the model's contract, for a plan without a document beside it.
        copy: results are the caller's own. False: they are views of buffers, which the same thread's next call
            overwrites, and which are gone when the thread has ended or the engine is closed.

    Raises:
        ModelFileError: the file is absent.
        IncompatibleEngineError: it is damaged, for another GPU or version of TensorRT, or not what it says.
        MissingDependencyError: TensorRT, a CUDA binding, the driver or a GPU is missing.
        UsageError: a device that is no GPU.
    """

    def __init__(
        self,
        path: Path,
        *,
        device: str = "cuda",
        threads: int | None = None,
        binding: str | None = None,
        spec: ModelSpec | None = None,
        copy: bool = True,
    ) -> None:
        if threads is not None:
            raise UsageError(f"threads {threads}", "has no meaning for TensorRT", "leave it out")
        content, info = read_plan(path)
        name = info.runtime if info else "tensorrt"
        trt = load(name, path)
        self.source, self.gives_views = str(path), not copy
        self._title, self._version = RUNTIMES[name].title, str(trt.__version__)
        self._trt = trt
        self._lock, self._staged = threading.Lock(), threading.local()
        # By thread and number of frames.
        self._lanes: dict[tuple[int, int], Lane] = {}
        self._closed = False
        self._runtime: Any = None
        self._engine: Any = None
        self._cuda = open_cuda("cuda" if device == "cpu" else device, binding)
        self.device = f"cuda:{self._cuda.gpu.index}"
        try:
            if info:
                _check_fit(path, info, self._version, self._cuda.gpu.name, self._cuda.gpu.compute)
            with self._cuda.current():
                self._load(content, path, info)
            self.spec = info.spec if info else spec or _guess(self._tensors, path)
            _check_contract(self._tensors, self.spec, path)
        except BaseException:
            with suppress(SegFaceEdgeError):  # what went wrong first is what matters
                self.close()
            raise

    def run(self, frames: UInt8Array) -> Output:
        """Runs (N, S, S, 3) uint8 RGB, N within the plan's profile."""
        feed: Array = frames
        if self.spec.graph == "reference":
            mean, std = np.array(self.spec.mean, np.float32), np.array(self.spec.std, np.float32)
            feed = ((frames.astype(np.float32) / 255 - mean) / std).transpose(0, 3, 1, 2)
        self._check_open()
        with self._cuda.current(), listening(self._trt) as (_, record):
            lane = self._lane(len(frames), record)
            with lane.lock:
                self._check_open()
                found = lane.run(feed, record, copy=not self.gives_views, stages=getattr(self._staged, "stages", None))
        logits = found.get("logits")
        labels = found["labels"] if "labels" in found else found["logits"].argmax(axis=1).astype(np.uint8)
        return Output(labels, found.get("confidence"), logits)

    def infer_staged(self, frames: UInt8Array, now: Callable[[], float]) -> tuple[Output, dict[str, float]]:
        """`infer`, and the seconds of its copies, which the device measures, and of the rest."""
        stages = {"host_to_device": 0.0, "device_to_host": 0.0}
        self._staged.stages = stages
        start = now()
        try:
            output = self.infer(frames)
        finally:
            self._staged.stages = None
        copies = sum(stages.values())
        return output, {**stages, "inference": max(0.0, now() - start - copies)}

    def describe(self) -> dict[str, object]:
        """Runtime, versions, GPU, CUDA binding, and whether CUDA graphs are in use."""
        with self._lock:
            graphs = {lane.graph for lane in self._lanes.values()}
        return {
            "runtime": self._title.lower(),
            "version": self._version,
            "providers": [self._title],
            "threads": "none",
            "gpu": self._cuda.gpu.name,
            "compute": self._cuda.gpu.compute,
            "cuda": self._cuda.runtime,
            "driver_cuda": self._cuda.driver,
            "binding": self._cuda.binding,
            "cuda_graph": ", ".join(sorted(graphs)) or "not run yet",
            "memory": "shared" if self._cuda.gpu.integrated else "copied",
        }

    def close(self) -> None:
        """Frees the engine and all contexts, after the calls that are running."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            lanes, self._lanes = self._lanes, {}
        # Undone in turn, the last first, whichever of it fails.
        with ExitStack() as stack:
            stack.callback(self._cuda.close)
            stack.enter_context(self._cuda.current())
            stack.callback(self._drop)
            for lane in lanes.values():
                stack.callback(lane.free)

    def _drop(self) -> None:
        # TensorRT frees them with their last names, the engine before its runtime.
        self._engine = None
        self._runtime = None

    def _load(self, content: bytes, path: Path, info: PlanInfo | None) -> None:
        trt = self._trt
        with listening(trt) as (log, record):
            self._deserialise(log, record, content, path, info)
        self._tensors = _tensors(trt, self._engine)
        source = self._tensors[0]
        if source.shape[0] == -1:
            least, _, most = self._engine.get_tensor_profile_shape(source.name, 0)
            self.min_batch, self.max_batch = int(least[0]), int(most[0])

    def _deserialise(self, log: Any, record: Record, content: bytes, path: Path, info: PlanInfo | None) -> None:
        self._runtime = start(self._trt.Runtime, log, record, path)
        if info and info.flags.get("version_compatible"):
            # Such a plan brings code of NVIDIA's: only what its document vouches for is run.
            self._runtime.engine_host_code_allowed = True
        self._engine = self._runtime.deserialize_cuda_engine(content)
        if self._engine is None:
            raise _not_loaded(path, info, record)

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError(self.source, "is closed", "open it again")

    def _lane(self, batch: int, record: Record) -> Lane:
        me = threading.current_thread().ident or 0  # a thread that Python did not start is listed from here on
        with self._lock:
            self._check_open()
            lane = self._lanes.pop((me, batch), None)
            if lane is not None:
                self._lanes[me, batch] = lane  # the one used last comes last
                return lane
            # Threads come and go, and numbers of frames change; contexts hold much of the GPU's memory.
            alive = {thread.ident for thread in threading.enumerate()}
            mine = [one for one in self._lanes if one[0] == me]
            gone = [one for one in self._lanes if one[0] not in alive] + mine[: len(mine) - LANES + 1]
            freed = [self._lanes.pop(one) for one in gone]
        for old in freed:
            old.free()
        lane = Lane(self._cuda, self._engine, self._tensors, batch, record, self.source)
        with self._lock:
            if not self._closed:
                self._lanes[me, batch] = lane
                return lane
        lane.free()
        raise UsageError(self.source, "is closed", "open it again")


def _check_fit(path: Path, info: PlanInfo, version: str, gpu: str, compute: str) -> None:
    built, here = numbers(info.runtime_version), numbers(version)
    title, cure = RUNTIMES[info.runtime].title, f"build it again: {info.rebuild(path)}"
    later = bool(info.flags.get("version_compatible")) and built[0] == here[0] and built <= here
    if built[:3] != here[:3] and not later:
        raise IncompatibleEngineError(path, f"was built with {title} {info.runtime_version}, here is {version}", cure)
    if compute not in info.compute:
        raise IncompatibleEngineError(
            path,
            f"was built for compute capability {', '.join(info.compute)}{f' ({info.gpu})' if info.gpu else ''}, "
            f"this GPU ({gpu}) has {compute}",
            cure,
        )
    if info.gpu not in (None, gpu):
        warnings.warn(PlanWarning(f"{path}: was built on {info.gpu}, this is {gpu}; {cure}"), stacklevel=4)


def _not_loaded(path: Path, info: PlanInfo | None, record: Record) -> IncompatibleEngineError:
    """Why TensorRT does not load a plan, in our words where they are known."""
    said = " ".join(record.errors)
    cure = f"build it again: {info.rebuild(path) if info else f'segface-edge build MODEL.onnx -o {path}'}"
    # From 10.4 on, TensorRT prints the plan's version as raw bytes; what can be read of it is said.
    version = re.search(r"expecting library version (\S+) got(?: version)?([^,]*)", said)
    if version:
        built = re.search(r"\d+\.\d+\.[\d.]*\d", version[2])
        words = f"TensorRT {built[0]}" if built else "another version of TensorRT"
        return IncompatibleEngineError(path, f"was built with {words}, here is {version[1]}", cure)
    if "Version tag does not match" in said:
        return IncompatibleEngineError(path, "was built with another version of TensorRT", cure)
    device = re.search(r"expecting compute (\S+) got compute (\S+?),", said)
    if device:
        return IncompatibleEngineError(
            path, f"was built for compute capability {device[2]}, this GPU has {device[1]}", cure
        )
    return IncompatibleEngineError(path, f"is damaged, or no plan of TensorRT ({record.last_error()})", cure)


def _tensors(trt: ModuleType, engine: Any) -> tuple[Tensor, ...]:
    """Inputs first."""
    types = {trt.DataType.UINT8: np.uint8, trt.DataType.FLOAT: np.float32, trt.DataType.HALF: np.float16}
    found = []
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        found.append(
            Tensor(
                name=name,
                is_input=engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT,
                dtype=types.get(engine.get_tensor_dtype(name), object),
                shape=tuple(engine.get_tensor_shape(name)),
            )
        )
    return tuple(sorted(found, key=lambda one: not one.is_input))


def _guess(tensors: tuple[Tensor, ...], path: Path) -> ModelSpec:
    """The contract of a plan that does not say it, from its inputs and outputs. The label order cannot be seen."""
    source, outputs = tensors[0], tensors[1:]
    deploy = source.dtype == np.uint8
    if len(source.shape) != 4 or source.shape[3 if deploy else 1] != 3:
        raise IncompatibleEngineError(path, f"takes {_words(source)}: no frames", "give a plan of a face parser")
    logits = next((one for one in outputs if one.name == "logits"), None)
    order = label_set("segface")
    count = logits.shape[1] if logits and len(logits.shape) == 4 else len(order)
    known = count == len(order)
    document = sidecar(path).name
    warnings.warn(
        PlanWarning(
            f"{path}: there is no {document}; labels are taken "
            f"{f'to be in the order {order.name}' if known else 'as numbers'}. Give --spec MODEL.onnx if it is known"
        ),
        stacklevel=4,
    )
    return ModelSpec(
        backbone="unknown",
        graph="deploy" if deploy else "reference",
        size=source.shape[2],
        batch=None if source.shape[0] == -1 else source.shape[0],
        label_order=order.name if known else "unknown",
        classes=order.classes if known else ("background", *(f"class_{index}" for index in range(1, count))),
        outputs=tuple(one.name for one in outputs),  # type: ignore[misc] # checked next
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
    )


def _check_contract(tensors: tuple[Tensor, ...], spec: ModelSpec, path: Path) -> None:
    """Compares what the document promises with the engine's own inputs and outputs."""
    n, s, k = spec.batch or -1, spec.size, len(spec.classes)
    deploy = spec.graph == "deploy"
    promised = [
        Tensor(name="frames", is_input=True, dtype=np.uint8, shape=(n, s, s, 3))
        if deploy
        else Tensor(name="images", is_input=True, dtype=np.float32, shape=(n, 3, s, s)),
        *(
            Tensor(name="logits", is_input=False, dtype=np.float32, shape=(n, k, s, s))
            if kind == "logits"
            else Tensor(name=kind, is_input=False, dtype=np.uint8, shape=(n, s, s))
            for kind in spec.outputs
        ),
    ]
    if sorted(promised, key=lambda one: one.name) != sorted(tensors, key=lambda one: one.name):
        raise IncompatibleEngineError(
            path,
            f"should have {', '.join(map(_words, promised))}; it has {', '.join(map(_words, tensors))}",
            "build it again: segface-edge build MODEL.onnx -o FILE.plan",
        )


def _words(tensor: Tensor) -> str:
    shape = "x".join("N" if size == -1 else str(size) for size in tensor.shape)
    return f"{tensor.name} {shape} {getattr(tensor.dtype, '__name__', tensor.dtype)}"
