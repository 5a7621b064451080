"""Videos and cameras as frames with times, decoded ahead in a thread."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from segface_edge.errors import DataError, UsageError
from segface_edge.pictures.address import is_address, is_picture
from segface_edge.pictures.geometry import UInt8Array
from segface_edge.quiet import keep_ffmpeg_quiet, quiet_opencv

from .ahead import Ahead

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts")
_STREAMS = ("rtsp://", "rtmp://", "http://", "https://", "udp://")
# Frames that wait between decoding and whoever takes them: bounds the memory.
_AHEAD = 4
# A file may say that it has a frame or two more than it has.
_MISSING = 2
_USUAL_FPS = 25.0
_COUNTED = (".mp4", ".m4v", ".mov", ".avi")
# A camera that hangs in a read is left to its own thread after so long.
_PATIENCE_S = 2.0


@dataclass(frozen=True)
class Frame:
    """A picture of a video.

    Attributes:
        index: its number, from 0; of a camera the number of frames taken before it.
        seconds: since the video's start.
        image: (H, W, 3) uint8 RGB.
    """

    index: int
    seconds: float
    image: UInt8Array


def is_video(source: str) -> bool:
    """Whether a source is a video file by its suffix, a camera's index, a stream, or a GStreamer pipeline."""
    if is_address(source):
        return not is_picture(source)
    path = Path(source)
    if path.exists():  # a folder may be called 2024, and a photo party!.jpg
        return path.is_file() and path.suffix.lower() in VIDEO_SUFFIXES
    return is_live(source) or path.suffix.lower() in VIDEO_SUFFIXES


def is_live(source: str) -> bool:
    """Whether a source is a camera's index, a stream or a GStreamer pipeline."""
    if not is_address(source) and Path(source).exists():
        return False
    return source.isdecimal() or source.startswith(_STREAMS) or "!" in source


class Video:
    """Frames of a video file, camera or stream; decoded in a thread, `_AHEAD` frames ahead.

    A file's frames all come, in order. Of a camera or stream the newest does: what was not taken in time is dropped.

    Args:
        source: a file, a camera's index (`0`), a stream (`rtsp://…`), or a GStreamer pipeline (with `!`).
        every: only each so many-th frame.

    Attributes:
        live: whether it is a camera or a stream.
        width, height, fps: as the source says; 25 where it does not.
        count: frames that there will be, None where that is unknown.

    Raises:
        DataError: there is no such source, or no video in it.
        UsageError: `every` is below 1.
    """

    def __init__(self, source: str, *, every: int = 1) -> None:
        if every < 1:
            raise UsageError(f"every {every}", "is below 1", "use 1 for all frames")
        self.source, self._every = source, every
        self.live = is_live(source)
        if not self.live and not Path(source).is_file():
            raise DataError(source, "no such file", "give a video, or a camera's index")
        self._capture = _open(source)
        if not self._capture.isOpened():
            what = "is no camera or stream that can be opened" if self.live else "is no video that can be read"
            raise DataError(source, what, _cure(source))
        self.width = int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        self.height = int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 0 < fps <= 1000 else _USUAL_FPS
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        # Other formats have no count of their own: theirs is guessed from how long the longest stream is.
        counted = Path(source).suffix.lower() in _COUNTED
        self._length = None if self.live or count <= 0 or not counted else count
        self.count = None if self._length is None else -(-self._length // every)
        self._frames = Ahead(
            self._read(),
            waiting=1 if self.live else _AHEAD,
            newest=self.live,
            patience=_PATIENCE_S,
            name=f"decoder of {source}",
        )

    @property
    def dropped(self) -> int:
        """Frames that nobody took, so far."""
        return self._frames.dropped

    def __iter__(self) -> Iterator[Frame]:
        """The frames. Raises DataError where it breaks off; what came before was sound."""
        return self._frames

    def close(self) -> None:
        """Ends decoding and lets go of the source."""
        self._frames.close()

    def __enter__(self) -> Video:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> Iterator[Frame]:
        """The frames as they are decoded. Raises DataError where there ought to be more."""
        began, index = time.perf_counter(), 0
        try:
            while True:
                # Frames that are left out need not become pictures.
                if index % self._every:
                    if not self._capture.grab():
                        break
                else:
                    read, picture = self._capture.read()
                    if not read:
                        break
                    yield Frame(index, self._seconds(index, began), _rgb(np.asarray(picture, np.uint8)))
                index += 1
        except Exception as error:  # OpenCV's and FFmpeg's have no common base
            raise DataError(self.source, f"cannot be read any further ({error})", _cure(self.source)) from error
        finally:
            self._capture.release()
        if self.live:
            raise DataError(self.source, f"gives no more frames after {index}", "check its cable or its network")
        if self._length is not None and index < self._length - _MISSING:
            raise DataError(
                self.source, f"breaks off after {index} of {self._length} frames", "copy or download it again"
            )
        if not index:
            raise DataError(self.source, "holds no frame", _cure(self.source))

    def _seconds(self, index: int, began: float) -> float:
        if self.live:
            return time.perf_counter() - began
        # The file's own time of the frame: not all are evenly spaced.
        milliseconds = float(self._capture.get(cv2.CAP_PROP_POS_MSEC))
        return milliseconds / 1000 if milliseconds > 0 or index == 0 else index / self.fps


def _rgb(picture: UInt8Array) -> UInt8Array:
    """A frame as OpenCV gives it: BGR, or grey from some cameras."""
    if picture.ndim == 2 or picture.shape[2] == 1:
        return np.asarray(cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB))
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGRA2RGB if picture.shape[2] == 4 else cv2.COLOR_BGR2RGB))


def _open(source: str) -> cv2.VideoCapture:
    keep_ffmpeg_quiet()
    with quiet_opencv():
        if Path(source).exists():
            return cv2.VideoCapture(source)
        if source.isdecimal():
            return cv2.VideoCapture(int(source))
        return cv2.VideoCapture(source, cv2.CAP_GSTREAMER) if "!" in source else cv2.VideoCapture(source)


def _cure(source: str) -> str:
    if "!" in source:
        return "this needs an OpenCV with GStreamer (JetPack's own), and a pipeline that ends in appsink"
    if source.isdecimal():
        return "see which cameras there are: ls /dev/video*"
    return "check the address" if source.startswith(_STREAMS) else "give an MP4, MOV, AVI, MKV or WebM file"
