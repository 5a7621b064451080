"""The engines onnxruntime and onnxruntime-tensorrt."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from segface_edge.engines.base import WARP_OUTSIDE, Engine, Output, cores
from segface_edge.engines.layers import WARMUP, Profile
from segface_edge.engines.promise import fed, given, promised_tensors
from segface_edge.errors import IncompatibleEngineError, SegFaceEdgeError, UsageError
from segface_edge.files import count_in
from segface_edge.pictures.geometry import UInt8Array

from .bound import BoundSession
from .contract import check_contract, spec_of
from .nodes import read_nodes, with_outputs
from .profile import read_profile
from .providers import CPU, CUDA, TENSORRT
from .session import RAN, VERSION, allocator, open_session
from .subnormals import flushed

# A CPU computes one frame after another where it has so few threads: of a batch, feature maps leave its caches between
# layers. `benchmarks/video.py` measures it (two cores: a tenth less time a frame than in eights).
_FEW_THREADS = 4


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
        session, self._optimisation, self._nodes = open_session(path, device, index, threads, providers)
        self._seen: tuple[Any, list[str]] | None = None
        self._open = partial(open_session, path, device, index, threads, providers)
        self.spec = spec_of(session, self.source)
        check_contract(session, self.spec, self.source)
        if self.spec.warp == "inside" and index is not None:
            raise IncompatibleEngineError(self.source, "warps faces itself, which runs on the CPU only", WARP_OUTSIDE)
        feed, *outputs = promised_tensors(self.spec)
        self._input = feed[0]
        if index is None and (threads or cores() or 1) <= _FEW_THREADS:
            self.max_batch = 1
        self._providers = session.get_providers()
        self._session: Any = session
        self._bound = None if index is None else BoundSession(session, self.source, allocator(index), feed, outputs)
        self._clock: Callable[[], float] | None = None
        self._transfers = {"host_to_device": 0.0, "device_to_host": 0.0}

    def run(self, frames: UInt8Array) -> Output:
        """Runs (N, S, S, 3) uint8 RGB."""
        if self.spec.warp == "inside":
            raise UsageError(self.source, "warps faces itself, and wants their landmarks", WARP_OUTSIDE)
        return self._run(frames, {})

    def run_warped(self, frames: UInt8Array, landmarks: npt.NDArray[np.float32]) -> Output:
        """The same of a graph that warps faces itself."""
        return self._run(frames, {"landmarks": landmarks})

    def _run(self, frames: UInt8Array, more: dict[str, npt.NDArray[np.float32]]) -> Output:
        session = self._session
        if session is None:
            raise UsageError(self.source, "is closed", "open it again")
        feed = fed(self.spec, frames)
        try:
            if self._bound is None:
                with flushed():
                    values = session.run(list(self.spec.outputs), {self._input: feed, **more})
            else:
                found = self._run_bound(self._bound, feed)
                values = [found[name] for name in self.spec.outputs]
        except SegFaceEdgeError:
            raise
        except Exception as error:  # ONNX Runtime's errors have no common base but Exception
            cure = "export it again: segface-edge export" if self._bound is None else "use fewer frames a call, or cpu"
            raise IncompatibleEngineError(self.source, f"ONNX Runtime failed to run it ({error})", cure) from error
        return given(self.spec, values)

    def _run_bound(self, bound: BoundSession, feed: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
        if self._clock is None:
            return bound.run(feed)[0]
        found, there, back = bound.run(feed, self._clock)
        self._transfers["host_to_device"] += there
        self._transfers["device_to_host"] += back
        return found

    def finite(self, frames: UInt8Array) -> bool | None:
        """Whether all that an ArgMax reads is finite, None in a graph without one.

        From a second session of the same file, which has it as a further output: what is parsed stays as it is.
        """
        if self._seen is None:
            read = [node.inputs[0] for node in read_nodes(Path(self.source).read_bytes()) if node.operator == "ArgMax"]
            session = self._open(shown=lambda content: with_outputs(content, read))[0] if read else None
            self._seen = session, read
        session, read = self._seen
        if session is None:
            return None
        results = (session.run(read, {self._input: fed(self.spec, chunk)}) for chunk, _ in self._in_calls(frames))
        return all(np.isfinite(values).all() for found in results for values in found)

    def profile(self, frames: UInt8Array, runs: int) -> Profile:
        """In a second session of the same file, opened as the first; on a CPU.

        Raises:
            UsageError: it is open on a GPU, where ONNX Runtime tells when work was handed over, not how long it took;
                or the graph warps faces itself.
        """
        if self._bound is not None:
            raise UsageError(
                f"device {self.device}", "does not tell the time of layers", "build a plan and profile that"
            )
        if self.spec.warp == "inside":
            raise UsageError(self.source, "warps faces itself, and wants their landmarks", WARP_OUTSIDE)
        feed = {self._input: fed(self.spec, frames)}
        with TemporaryDirectory() as name:
            folder = Path(name)
            session = self._open(profile_to=folder)[0]
            with flushed():
                for _ in range(WARMUP + runs):
                    session.run(list(self.spec.outputs), feed)
            events = Path(session.end_profiling())
            ran = read_nodes((folder / RAN).read_bytes())
            return read_profile(events, ran, Path(self.source), list(feed), warmup=WARMUP)

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
            "version": VERSION,
            "providers": self._providers,
            "threads": self._threads or "default",
            "optimisation": self._optimisation,
            **on_gpu,
        }

    def close(self) -> None:
        """Frees the session, and its memory on the GPU."""
        self._session = self._seen = None
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
    if kind not in ("cpu", "cuda") or (colon and (kind == "cpu" or count_in(index) is None)):
        raise UsageError(f"device {device!r}", "is unknown to ONNX Runtime", "use cpu, cuda or cuda:N")
    return None if kind == "cpu" else int(index or 0)
