"""OpenCV's dnn, to check files of the target `portable` in: its new engine, which version 5 brought."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from segface_edge.engines.base import Engine, Output
from segface_edge.engines.ort.metadata import read_metadata
from segface_edge.engines.promise import fed, given
from segface_edge.errors import IncompatibleEngineError, MissingDependencyError, UsageError
from segface_edge.files import utf8_name
from segface_edge.pictures.geometry import UInt8Array


class OpenCVEngine(Engine):
    """An ONNX file in OpenCV's dnn, on the CPU, one call's frames at a time.

    Args:
        path: an ONNX file that segface-edge wrote, with a fixed number of frames.
        device: `cpu`.
        threads: OpenCV's, which are those of the whole process; None leaves them as they are.

    Raises:
        MissingDependencyError: this OpenCV is older than 5.
        IncompatibleEngineError: it cannot read the file.
        UsageError: another device.
    """

    def __init__(self, path: Path, *, device: str = "cpu", threads: int | None = None) -> None:
        if device != "cpu":
            raise UsageError(f"device {device!r}", "is none for OpenCV's dnn", "use cpu")
        if not hasattr(cv2.dnn, "ENGINE_NEW"):
            problem = f"OpenCV {cv2.__version__} has no engine that runs the file"
            cure = "install it with: pip install 'opencv-python-headless>=5'"
            raise MissingDependencyError(path, problem, cure)
        self.source, self.device = str(path), device
        self.spec = read_metadata(path).spec
        if threads is not None:
            cv2.setNumThreads(threads)
        name = utf8_name(path)
        try:
            self._net: Any = cv2.dnn.readNetFromONNX(name, cv2.dnn.ENGINE_NEW)
        except cv2.error as error:
            raise IncompatibleEngineError(path, f"OpenCV cannot read it ({error})", "use --target portable") from error

    def run(self, frames: UInt8Array) -> Output:
        """Runs (N, S, S, 3) uint8 RGB."""
        try:
            self._net.setInput(np.ascontiguousarray(fed(self.spec, frames)))
            values = self._net.forward(list(self.spec.outputs))
        except cv2.error as error:
            raise IncompatibleEngineError(
                self.source, f"OpenCV failed to run it ({error})", "use --target portable"
            ) from error
        return given(self.spec, [np.array(value) for value in values])

    def describe(self) -> dict[str, object]:
        """Runtime, version, threads."""
        return {"runtime": "opencv", "version": cv2.__version__, "threads": cv2.getNumThreads()}
