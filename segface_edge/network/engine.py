"""PyTorch as an engine: runs checkpoints, and is what every exported file is compared with."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from segface_edge.engines.base import Engine, Output
from segface_edge.errors import MissingDependencyError, UsageError
from segface_edge.pictures.geometry import UInt8Array
from segface_edge.spec import ModelSpec

from .checkpoint import load_segface, provenance, read_checkpoint
from .deploy import normalise
from .recognise import identified
from .segface import SegFace

# For checkpoints that do not say theirs, nor does their name.
DEFAULT_SIZE = 512


class TorchEngine(Engine):
    """A checkpoint, or a network in memory, in PyTorch (eager).

    Args:
        path: a checkpoint.
        device: `cpu`, `cuda` or `cuda:N`.
        threads: PyTorch's threads; None leaves them as they are.
        size: input side, a multiple of 32; None takes the one that the checkpoint was trained at.

    Raises:
        CheckpointError: the checkpoint cannot be read or does not fit.
        UsageError: `size` is no multiple of 32.
        MissingDependencyError: CUDA was asked for and PyTorch has none.
    """

    mode = "eager"

    def __init__(self, path: Path, *, device: str = "cpu", threads: int | None = None, size: int | None = None) -> None:
        checkpoint = identified(read_checkpoint(path), path)
        side = (checkpoint.trained_size or DEFAULT_SIZE) if size is None else size
        model = load_segface(checkpoint, image_size=side, source=path)
        spec = replace(
            model_spec(model, trained_size=checkpoint.trained_size, terms=checkpoint.terms or "not stated"),
            provenance=provenance(checkpoint),
        )
        self._start(model, spec, str(path), device, threads)

    @classmethod
    def of(cls, model: SegFace, *, source: str = "network in memory", device: str = "cpu") -> TorchEngine:
        """An engine over a network in memory. `model` itself is moved to `device` and put in eval mode.

        Raises:
            UsageError, MissingDependencyError: `device` is unknown or not there.
        """
        engine = cls.__new__(cls)
        engine._start(model, model_spec(model), source, device, None)
        return engine

    def _start(self, model: SegFace, spec: ModelSpec, source: str, device: str, threads: int | None) -> None:
        unknown = UsageError(f"device {device!r}", "is unknown to PyTorch", "use cpu, cuda or cuda:N")
        if device.partition(":")[0] not in ("cpu", "cuda"):
            raise unknown
        try:
            self._device = torch.device(device)
        except RuntimeError as error:
            raise unknown from error
        if self._device.type == "cuda" and not torch.cuda.is_available():
            raise MissingDependencyError(
                f"device {device!r}", "this PyTorch finds no CUDA device", "install its CUDA build and the driver"
            )
        self._threads = threads or torch.get_num_threads()
        self.source, self.spec, self.device = source, spec, device
        self._network: SegFace | None = model.to(self._device).eval()

    @property
    def _model(self) -> SegFace:
        if self._network is None:
            raise UsageError(self.source, "is closed", "open it again")
        return self._network

    def run(self, frames: UInt8Array) -> Output:
        """Runs (N, S, S, 3) uint8 RGB; labels, confidence and logits."""
        return self._output(lambda network: network.plain(self._images(frames)))

    def run_warped(self, frames: UInt8Array, landmarks: npt.NDArray[np.float32]) -> Output:
        """The same through the warp, and back."""
        points = torch.tensor(landmarks, device=self._device)
        return self._output(lambda network: network(self._images(frames), points))

    def _images(self, frames: UInt8Array) -> Tensor:
        return normalise(torch.tensor(frames, device=self._device))

    def _output(self, logits_of: Callable[[SegFace], Tensor]) -> Output:
        # PyTorch's number of threads is one for the whole process: another engine may have changed it.
        if torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)
        with torch.inference_mode():
            logits = logits_of(self._model)
            best, labels = logits.softmax(dim=1).max(dim=1)
            confidence = (255 * best).round()
        return Output(
            labels.cpu().numpy().astype(np.uint8), confidence.cpu().numpy().astype(np.uint8), logits.cpu().numpy()
        )

    def infer_staged(self, frames: UInt8Array, now: Callable[[], float]) -> tuple[Output, dict[str, float]]:
        """On a GPU, transfers and inference apart, by CUDA events; on a CPU as any engine."""
        if self._device.type != "cuda":
            return super().infer_staged(frames, now)
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(4)]  # type: ignore[no-untyped-call]
        with torch.inference_mode(), torch.cuda.device(self._device):
            marks[0].record()
            images = normalise(torch.tensor(frames, device=self._device))
            marks[1].record()
            logits = self._model.plain(images)
            labels = logits.argmax(dim=1).to(torch.uint8)
            marks[2].record()
            on_host = labels.cpu().numpy()
            marks[3].record()
            marks[3].synchronize()
        seconds = [before.elapsed_time(after) / 1000 for before, after in pairwise(marks)]
        return Output(on_host), dict(zip(("host_to_device", "inference", "device_to_host"), seconds, strict=True))

    def describe(self) -> dict[str, object]:
        """Runtime, version, threads."""
        return {"runtime": "torch", "version": torch.__version__, "mode": self.mode, "threads": self._threads}

    def close(self) -> None:
        """Frees the weights."""
        self._network = None


class CompiledTorchEngine(TorchEngine):
    """The same, through `torch.compile` (needs a C++ compiler on a CPU); the first runs compile."""

    mode = "compiled"

    def _start(self, model: SegFace, spec: ModelSpec, source: str, device: str, threads: int | None) -> None:
        super()._start(model, spec, source, device, threads)
        if shutil.which(os.environ.get("CXX", "g++")) is None and shutil.which("clang++") is None:
            raise MissingDependencyError(
                source, "torch.compile needs a C++ compiler", "install g++, or run it in eager"
            )
        self._model.plain = torch.compile(self._model.plain)  # type: ignore[method-assign]


def model_spec(model: SegFace, *, trained_size: int | None = None, terms: str = "not stated") -> ModelSpec:
    """The contract of a network in memory."""
    return ModelSpec(
        backbone=model.backbone_name,
        graph="reference",
        size=model.image_size,
        batch=None,
        label_order=model.labels.name,
        classes=model.labels.classes,
        outputs=("logits",),
        warp="outside" if model.warps else "none",
        trained_size=trained_size,
        terms=terms,
    )
