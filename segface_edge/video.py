"""Videos and cameras as frames with times, decoded ahead in a thread; and videos written."""

from __future__ import annotations

import os
import queue
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from .errors import DataError, InputError, UsageError
from .files import check_place
from .imaging import UInt8Array

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
    return (
        source.isdecimal()
        or source.startswith(_STREAMS)
        or "!" in source
        or Path(source).suffix.lower() in VIDEO_SUFFIXES
    )


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
        dropped: frames that nobody took, so far.

    Raises:
        DataError: there is no such source, or no video in it.
        UsageError: `every` is below 1.
    """

    def __init__(self, source: str, *, every: int = 1) -> None:
        if every < 1:
            raise UsageError(f"every {every}", "is below 1", "use 1 for all frames")
        self.source, self._every = source, every
        self.live = source.isdecimal() or source.startswith(_STREAMS) or "!" in source
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
        self._length = None if self.live or count <= 0 else count
        self.count = None if self._length is None else -(-self._length // every)
        self.dropped = 0
        self._stop = threading.Event()
        self._frames: queue.Queue[Frame | DataError | None] = queue.Queue(1 if self.live else _AHEAD)
        self._thread = threading.Thread(target=self._decode, name=f"decoder of {source}", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Frame]:
        """The frames. Raises DataError where it breaks off; what came before was sound."""
        while True:
            found = self._frames.get()
            if found is None:
                return
            if isinstance(found, DataError):
                raise found
            yield found

    def close(self) -> None:
        """Ends decoding and lets go of the source."""
        self._stop.set()
        while self._thread.is_alive():
            self._take()
            self._thread.join(0.05)
        self._capture.release()

    def __enter__(self) -> Video:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _decode(self) -> None:
        began, index = time.perf_counter(), 0
        end: DataError | None = None
        while not self._stop.is_set():
            # Frames that are left out need not become pictures.
            if index % self._every:
                if not self._capture.grab():
                    break
            else:
                read, picture = self._capture.read()
                if not read:
                    break
                seconds = time.perf_counter() - began if self.live else index / self.fps
                self._offer(Frame(index, seconds, np.ascontiguousarray(picture[:, :, ::-1])))
            index += 1
        else:
            return
        if self.live:
            end = DataError(self.source, f"gives no more frames after {index}", "check its cable or its network")
        elif self._length is not None and index < self._length - _MISSING:
            end = DataError(
                self.source, f"breaks off after {index} of {self._length} frames", "copy or download it again"
            )
        elif not index:
            end = DataError(self.source, "holds no frame", _cure(self.source))
        if end is not None:
            self._put(end)
        self._put(None)

    def _offer(self, frame: Frame) -> None:
        if not self.live:
            self._put(frame)
            return
        # The newest wins: a camera does not wait.
        while True:
            try:
                self._frames.put_nowait(frame)
                return
            except queue.Full:
                self.dropped += self._take()

    def _put(self, what: Frame | DataError | None) -> None:
        while not self._stop.is_set():
            try:
                self._frames.put(what, timeout=0.1)
                return
            except queue.Full:
                continue

    def _take(self) -> int:
        try:
            self._frames.get_nowait()
        except queue.Empty:
            return 0
        return 1


class VideoWriter:
    """A video file, written frame by frame; it takes its place when it is closed, with what was written so far.

    Args:
        path: where to; its suffix names the format.
        fps, width, height: of the video.
        sound_of: a video whose sound is copied, where ffmpeg is installed.

    Attributes:
        frames: how many were written.
        sound: `copied`, `none`, or why it was left out.

    Raises:
        UsageError: no format of videos that can be written.
        InputError: the place cannot be written to.
    """

    def __init__(self, path: Path, *, fps: float, width: int, height: int, sound_of: Path | None = None) -> None:
        check_video_place(path)
        self.path, self.frames, self.sound = path, 0, "none"
        self._sound_of, self._size = sound_of, (width, height)
        self._part = path.with_name(f".{path.stem[:200]}.part{path.suffix}")
        _keep_ffmpeg_quiet()
        code = "MJPG" if path.suffix.lower() == ".avi" else "mp4v"
        self._writer = cv2.VideoWriter(str(self._part), cv2.VideoWriter.fourcc(*code), fps, (width, height))
        if not self._writer.isOpened():
            raise InputError(path, "cannot be written as a video", "choose .mp4 or .avi, or another place")

    def write(self, image: UInt8Array) -> None:
        """Appends (H, W, 3) uint8 RGB. Raises InputError where the disk is nearly full; what is there is kept."""
        if self.frames % _FRAMES_A_LOOK == 0 and shutil.disk_usage(self.path.parent).free < _LEAST_FREE:
            raise InputError(
                self.path, f"the disk is full after {self.frames} frames", "make room; what was done is kept"
            )
        self._writer.write(np.ascontiguousarray(image[:, :, ::-1]))
        self.frames += 1

    def close(self) -> None:
        """Finishes the file and puts it in its place; one without frames is not kept."""
        self._writer.release()
        if not self.frames:
            self._part.unlink(missing_ok=True)
            return
        if self._sound_of is not None:
            self._add_sound(self._sound_of)
        self._part.replace(self.path)

    def _add_sound(self, source: Path) -> None:
        if shutil.which("ffmpeg") is None:
            self.sound = "left out: ffmpeg is not installed"
            return
        both = self._part.with_name(f".{self.path.stem[:200]}.sound{self.path.suffix}")
        command = [
            "ffmpeg",
            "-v",
            "error",
            "-y",
            "-i",
            str(self._part),
            "-i",
            str(source),
            "-map",
            "0:v",
            "-map",
            "1:a?",
        ]
        done = subprocess.run(
            [*command, "-c", "copy", "-shortest", str(both)], capture_output=True, text=True, check=False
        )
        if done.returncode or not both.is_file():
            both.unlink(missing_ok=True)
            self.sound = f"left out: ffmpeg failed ({' '.join(done.stderr.split())[:200]})"
            return
        both.replace(self._part)
        self.sound = "copied"


def check_video_place(path: Path) -> None:
    """Raises where a video could not be written, before anything is decoded."""
    if path.suffix.lower() not in WRITTEN_SUFFIXES:
        raise UsageError(path, "is no name of a video that can be written", f"use {', '.join(WRITTEN_SUFFIXES)}")
    check_place(path)


def _keep_ffmpeg_quiet() -> None:
    """FFmpeg writes to the terminal by itself, unless OpenCV finds this when it first uses it."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


def _open(source: str) -> cv2.VideoCapture:
    _keep_ffmpeg_quiet()
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what fails is said in our words
    try:
        if source.isdecimal():
            return cv2.VideoCapture(int(source))
        return cv2.VideoCapture(source, cv2.CAP_GSTREAMER) if "!" in source else cv2.VideoCapture(source)
    finally:
        cv2.utils.logging.setLogLevel(level)


def _cure(source: str) -> str:
    if "!" in source:
        return "this needs an OpenCV with GStreamer (JetPack's own), and a pipeline that ends in appsink"
    if source.isdecimal():
        return "see which cameras there are: ls /dev/video*"
    return "check the address" if source.startswith(_STREAMS) else "give an MP4, MOV, AVI, MKV or WebM file"
