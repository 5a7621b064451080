"""Cameras by their index and GStreamer pipelines, read with OpenCV: those that a Jetson has are reached so."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import cv2
import numpy as np

from segface_edge.errors import DataError
from segface_edge.files import utf8_name
from segface_edge.pictures.geometry import UInt8Array
from segface_edge.quiet import keep_ffmpeg_quiet, quiet_opencv

_USUAL_FPS = 25.0


class Camera:
    """A camera's index, or a GStreamer pipeline that ends in an appsink, as `video.Reader` describes it.

    Raises:
        DataError: it cannot be opened.
    """

    live = True
    count: int | None = None

    def __init__(self, source: str) -> None:
        self._source = source
        self._capture = _open(source)
        if not self._capture.isOpened():
            raise DataError(source, "is no camera or stream that can be opened", _cure(source))
        self.width = int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        self.height = int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 0 < fps <= 1000 else _USUAL_FPS

    def read(self) -> Iterator[tuple[float, Callable[[], UInt8Array]]]:
        """Seconds and what makes the picture, frame by frame. Raises DataError where it gives no more."""
        began, index = time.perf_counter(), 0
        while self._capture.grab():
            yield time.perf_counter() - began, self._picture
            index += 1
        raise DataError(self._source, f"gives no more frames after {index}", "check its cable or its network")

    def close(self) -> None:
        """Lets go of the camera."""
        self._capture.release()

    def _picture(self) -> UInt8Array:
        read, picture = self._capture.retrieve()
        if not read:
            raise DataError(self._source, "gives a frame that cannot be read", "check its cable or its network")
        return _rgb(np.asarray(picture, np.uint8))


def _open(source: str) -> cv2.VideoCapture:
    keep_ffmpeg_quiet()
    with quiet_opencv():
        if source.isdecimal():  # OpenCV counts them in 31 bits; of a larger number there is none
            return cv2.VideoCapture(int(source)) if len(source) < 10 else cv2.VideoCapture()
        return cv2.VideoCapture(utf8_name(source), cv2.CAP_GSTREAMER)


def _rgb(picture: UInt8Array) -> UInt8Array:
    """A frame as OpenCV gives it: BGR, or grey from some cameras."""
    if picture.ndim == 2 or picture.shape[2] == 1:
        return np.asarray(cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB))
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGRA2RGB if picture.shape[2] == 4 else cv2.COLOR_BGR2RGB))


def _cure(source: str) -> str:
    if "!" in source:
        return "this needs an OpenCV with GStreamer (JetPack's own), and a pipeline that ends in appsink"
    return "see which cameras there are: ls /dev/video*"
