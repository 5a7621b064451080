"""Videos written: frame by frame, whole or not there, with the sound of another."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np

from segface_edge.errors import InputError, UsageError
from segface_edge.files import check_place
from segface_edge.pictures.geometry import UInt8Array
from segface_edge.quiet import keep_ffmpeg_quiet, quiet_opencv

WRITTEN_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv")
# Writers of OpenCV do not say that a disk is full: it is looked at, so often.
_LEAST_FREE, _FRAMES_A_LOOK = 32 * 2**20, 25
_COUNTER = itertools.count()


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
        keep_ffmpeg_quiet()
        height, width = image.shape[:2]
        self._size = (max(2, width // 2 * 2), max(2, height // 2 * 2))
        code = cv2.VideoWriter.fourcc(*("MJPG" if self.path.suffix.lower() == ".avi" else "mp4v"))
        with quiet_opencv():
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
