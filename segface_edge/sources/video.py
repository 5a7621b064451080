"""Videos and cameras as frames with times, decoded ahead in a thread; and videos written."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from segface_edge.errors import DataError, InputError, UsageError
from segface_edge.files import check_place
from segface_edge.pictures.imaging import UInt8Array

from .ahead import Ahead

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts")
WRITTEN_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv")
_STREAMS = ("rtsp://", "rtmp://", "http://", "https://", "udp://")
# Frames that wait between decoding and whoever takes them: bounds the memory.
_AHEAD = 4
# Writers of OpenCV do not say that a disk is full: it is looked at, so often.
_LEAST_FREE, _FRAMES_A_LOOK = 32 * 2**20, 25
# A file may say that it has a frame or two more than it has.
_MISSING = 2
_USUAL_FPS = 25.0
_COUNTED = (".mp4", ".m4v", ".mov", ".avi")
# A camera that hangs in a read is left to its own thread after so long.
_PATIENCE_S = 2.0
_COUNTER = itertools.count()


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
    path = Path(source)
    if path.exists():  # a folder may be called 2024, and a photo party!.jpg
        return path.is_file() and path.suffix.lower() in VIDEO_SUFFIXES
    return is_live(source) or path.suffix.lower() in VIDEO_SUFFIXES


def is_live(source: str) -> bool:
    """Whether a source is a camera's index, a stream or a GStreamer pipeline."""
    if Path(source).exists():
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


class VideoWriter:
    """A video file, written frame by frame; it takes its place when it is closed, with what was written so far.

    Its size is the first frame's, in even numbers of pixels (a last odd row or column is left out); others are fitted.

    Args:
        path: where to; its suffix names the format.
        fps: frames a second.
        sound_of: a video whose sound is copied, where ffmpeg is installed.

    Attributes:
        frames: how many were written.
        sound: `copied`, `none`, or why it was left out.

    Raises:
        UsageError: no format of videos that can be written.
        InputError: the place cannot be written to.
    """

    def __init__(self, path: Path, *, fps: float, sound_of: Path | None = None) -> None:
        check_video_place(path)
        self.path, self.frames, self.sound = path, 0, "none"
        # MPEG-4 counts time in parts of at most 1/65535 of a second.
        self._fps, self._sound_of = round(fps, 2), sound_of
        self._target = path.resolve()  # a link stays a link
        self._part = self._target.with_name(f".{path.stem[:150]}.{os.getpid()}-{next(_COUNTER)}{path.suffix}")
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)

    def write(self, image: UInt8Array) -> None:
        """Appends (H, W, 3) uint8 RGB.

        Raises:
            InputError: the disk is nearly full, or this OpenCV cannot write the format; what is there is kept.
        """
        if self.frames % _FRAMES_A_LOOK == 0 and shutil.disk_usage(self._target.parent).free < _LEAST_FREE:
            raise InputError(
                self.path, f"the disk is full after {self.frames} frames", "make room; what was done is kept"
            )
        if self._writer is None:
            self._writer = self._start(image)
        if image.shape[1::-1] != self._size:
            width, height = self._size
            image = (
                image[:height, :width]
                if 0 <= image.shape[0] - height <= 1 and 0 <= image.shape[1] - width <= 1
                else np.asarray(cv2.resize(image, self._size, interpolation=cv2.INTER_AREA))
            )
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        self.frames += 1

    def close(self) -> None:
        """Finishes the file and puts it in its place; one without frames is not kept.

        Raises:
            InputError: it cannot be put there.
        """
        try:
            if self._writer is not None:
                self._writer.release()
            if self.frames:
                try:
                    if self._sound_of is not None:
                        self._add_sound(self._sound_of)
                finally:  # also where the user does not wait for the sound
                    self._part.replace(self._target)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise InputError(self.path, f"cannot be written ({reason})", "choose another place or make room") from error
        finally:
            self._part.unlink(missing_ok=True)

    def _start(self, image: UInt8Array) -> cv2.VideoWriter:
        _keep_ffmpeg_quiet()
        height, width = image.shape[:2]
        self._size = (max(2, width // 2 * 2), max(2, height // 2 * 2))
        code = cv2.VideoWriter.fourcc(*("MJPG" if self.path.suffix.lower() == ".avi" else "mp4v"))
        with _quiet_opencv():
            try:
                writer = cv2.VideoWriter(str(self._part), code, self._fps, self._size)
            except cv2.error:
                writer = cv2.VideoWriter()
        if not writer.isOpened():
            width, height = self._size
            raise InputError(
                self.path,
                f"cannot be written as a video of {width} x {height}, {self._fps:g} frames a second",
                "try .avi",
            )
        return writer

    def _add_sound(self, source: Path) -> None:
        if shutil.which("ffmpeg") is None:
            self.sound = "left out: ffmpeg is not installed"
            return
        both = self._part.with_name(f"{self._part.stem}-sound{self._part.suffix}")
        # As long as the pictures; no shorter where the sound ends first.
        length = f"{self.frames / self._fps:.3f}"
        command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", str(self._part), "-i", str(source)]
        command += ["-map", "0:v", "-map", "1:a?", "-c", "copy", "-t", length, str(both)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode or not both.is_file():
                self.sound = f"left out: ffmpeg failed ({' '.join(done.stderr.split())[:200]})"
                return
            both.replace(self._part)
            self.sound = "copied"
        finally:
            both.unlink(missing_ok=True)


def check_video_place(path: Path) -> None:
    """Raises where a video could not be written, before anything is decoded."""
    if path.suffix.lower() not in WRITTEN_SUFFIXES:
        raise UsageError(path, "is no name of a video that can be written", f"use {', '.join(WRITTEN_SUFFIXES)}")
    check_place(path)


def _keep_ffmpeg_quiet() -> None:
    """FFmpeg writes to the terminal by itself, unless OpenCV finds this when it first uses it."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


def _rgb(picture: UInt8Array) -> UInt8Array:
    """A frame as OpenCV gives it: BGR, or grey from some cameras."""
    if picture.ndim == 2 or picture.shape[2] == 1:
        return np.asarray(cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB))
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGRA2RGB if picture.shape[2] == 4 else cv2.COLOR_BGR2RGB))


def _open(source: str) -> cv2.VideoCapture:
    _keep_ffmpeg_quiet()
    with _quiet_opencv():
        if Path(source).exists():
            return cv2.VideoCapture(source)
        if source.isdecimal():
            return cv2.VideoCapture(int(source))
        return cv2.VideoCapture(source, cv2.CAP_GSTREAMER) if "!" in source else cv2.VideoCapture(source)


@contextmanager
def _quiet_opencv() -> Iterator[None]:
    """What fails is said in our words."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def _cure(source: str) -> str:
    if "!" in source:
        return "this needs an OpenCV with GStreamer (JetPack's own), and a pipeline that ends in appsink"
    if source.isdecimal():
        return "see which cameras there are: ls /dev/video*"
    return "check the address" if source.startswith(_STREAMS) else "give an MP4, MOV, AVI, MKV or WebM file"
