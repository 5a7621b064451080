"""A plan, run with TensorRT 10.3 and later or TensorRT-RTX."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np

from segface_edge.engines.base import Engine, Output
from segface_edge.engines.layers import WARMUP, Profile
from segface_edge.errors import SegFaceEdgeError, UsageError
from segface_edge.pictures.geometry import UInt8Array
from segface_edge.spec import ModelSpec

from .contract import check_contract, guess_spec, read_tensors
from .cuda import open_cuda
from .fit import check_fit, not_loaded
from .lane import Array, Lane
from .log import Record, listening, start
from .plan import PlanInfo, read_plan
from .profile import make_timer, onnx_of, to_profile
from .runtimes import RUNTIMES, load

# Contexts of a thread, each for another number of frames: the one used longest ago makes room.
LANES = 4


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
        self._info = info
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
                check_fit(path, info, self._version, self._cuda.gpu.name, self._cuda.gpu.compute)
            with self._cuda.current():
                self._load(content, path, info)
            self.spec = info.spec if info else spec or guess_spec(self._tensors, path)
            check_contract(self._tensors, self.spec, path)
        except BaseException:
            with suppress(SegFaceEdgeError):  # what went wrong first is what matters
                self.close()
            raise

    def run(self, frames: UInt8Array) -> Output:
        """Runs (N, S, S, 3) uint8 RGB, N within the plan's profile."""
        feed = self._feed(frames)
        self._check_open()
        with self._cuda.current(), listening(self._trt) as (_, record):
            lane = self._lane(len(frames), record)
            with lane.lock:
                self._check_open()
                found = lane.run(feed, record, copy=not self.gives_views, stages=getattr(self._staged, "stages", None))
        logits = found.get("logits")
        labels = found["labels"] if "labels" in found else found["logits"].argmax(axis=1).astype(np.uint8)
        return Output(labels, found.get("confidence"), logits)

    def _feed(self, frames: UInt8Array) -> Array:
        """(N, S, S, 3) uint8 as the plan takes it."""
        if self.spec.graph == "deploy":
            return frames
        mean, std = np.array(self.spec.mean, np.float32), np.array(self.spec.std, np.float32)
        return ((frames.astype(np.float32) / 255 - mean) / std).transpose(0, 3, 1, 2)

    def profile(self, frames: UInt8Array, runs: int) -> Profile:
        """In a context of its own, layer by layer: TensorRT runs no CUDA graph meanwhile, and waits for each layer.

        Its nodes are those of the ONNX file that the plan was built of, where that is still here: else a `PlanWarning`
        says so.
        """
        self._check_open()
        graph = onnx_of(Path(self.source), self._info)
        with self._cuda.current(), listening(self._trt) as (_, record):
            lane = Lane(self._cuda, self._engine, self._tensors, len(frames), record, self.source)
            try:
                timer = make_timer(self._trt)
                reported, seconds = lane.profile(self._feed(frames), record, timer, WARMUP + runs)
            finally:
                lane.free()
            text = self._engine.create_engine_inspector().get_engine_information(self._trt.LayerInformationFormat.JSON)
        return to_profile(reported[WARMUP:], seconds[WARMUP:], text, graph)

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
        self._tensors = read_tensors(trt, self._engine)
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
            raise not_loaded(path, info, record)

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
