"""Videos written: frame by frame, each at its time, whole or not there, with the sound of another."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import ExitStack
from fractions import Fraction
from os import PathLike
from pathlib import Path
from types import TracebackType

import av
import cv2
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream

from segface_edge.errors import InputError
from segface_edge.files import hidden_file
from segface_edge.pictures.geometry import UInt8Array

from .formats import FORMATS, check_video_place
from .sound import Sound

# Of what is smaller nothing can be finished: FFmpeg crashes the process where it goes on without a file's head.
_LEAST_KEPT = 4096
# A disk that is full when a file is finished leaves none: it is looked at before, so often.
_LEAST_FREE, _FRAMES_A_LOOK = 32 * 2**20, 25
# Parts of a second that frames' times are written in, and by which two are apart at least.
_TICKS, _LEAST_TICKS = 90_000, 90
# BT.709, by FFmpeg's number, of primaries and transfer alike.
_BT709 = 1


class VideoWriter:
    """A video file, written frame by frame; it takes its place when it is closed, with what was written so far.

    Also as a context manager, which closes it.

    Its size is the first frame's, in even numbers of pixels (a last odd row or column is left out); others are fitted.

    Args:
        path: where to; its suffix names the format.
        fps: frames a second, where frames come without a time; how long the last one is shown.
        sound_of: a video whose sound is copied; it begins with that video's pictures, and ends with the ones written.

    Attributes:
        frames: how many were written, and are kept.
        sound: `none`, `copied`, `as aac` (or another) where the format does not hold it as it is, or why it was left
            out.

    Raises:
        UsageError: no format of videos that can be written.
        InputError: the place cannot be written to.
    """

    def __init__(self, path: str | PathLike[str], *, fps: float, sound_of: Path | None = None) -> None:
        path = Path(path)
        check_video_place(path)
        self.path, self.frames = path, 0
        self._format = FORMATS[path.suffix.lower()]
        self._fps, self._sound_of = Fraction(fps).limit_denominator(10_000), sound_of
        self._target = path.resolve()  # a link stays a link
        self._part, self._hidden = self._target, ExitStack()
        self._output: OutputContainer | None = None
        self._stream: VideoStream
        self._sound: Sound | None = None
        self._size = (0, 0)
        # Of an even format these are slots.
        self._ticks = self._fps if self._format.evenly else Fraction(_TICKS)
        self._last = -1

    @property
    def sound(self) -> str:
        """What became of the sound."""
        return "none" if self._sound is None else self._sound.state

    def write(self, image: UInt8Array, seconds: float | None = None) -> None:
        """Appends an image, (H, W, 3) uint8 RGB, shown from `seconds` of the video on; None: evenly.

        Raises:
            InputError: the disk is full or nearly so, or pictures of this size cannot be written; what is there is
                kept.
        """
        if self.frames % _FRAMES_A_LOOK == 0 and shutil.disk_usage(self._target.parent).free < _LEAST_FREE:
            raise self._full()
        if self._output is None:
            self._start(image)
        if image.shape[1::-1] != self._size:
            width, height = self._size
            image = (
                image[:height, :width]
                if 0 <= image.shape[0] - height <= 1 and 0 <= image.shape[1] - width <= 1
                else np.asarray(cv2.resize(image, self._size, interpolation=cv2.INTER_AREA))
            )
        if seconds is None:
            seconds = float(self.frames / self._fps)
        try:
            self._encode(image, seconds)
        except (av.FFmpegError, OSError) as error:
            if not self._part.exists() or self._part.stat().st_size < _LEAST_KEPT:  # not even its head is there
                self._output, self.frames = None, 0
            raise self._failed(error) from error
        self.frames += 1

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Finishes the file and puts it in its place; one without frames is not kept.

        Raises:
            InputError: it cannot be put there.
        """
        if self._output is None:
            self._hidden.close()
            if self._sound is not None:
                self._sound.close()
            return
        output, self._output = self._output, None
        try:
            try:
                self._finish(output)
            finally:  # also where the user does not wait for it
                try:
                    output.close()
                except (av.FFmpegError, OSError):
                    self.frames = 0
                    raise
                finally:
                    if self.frames:
                        self._place()
        except (av.FFmpegError, OSError) as error:
            raise self._failed(error) from error
        finally:
            self._hidden.close()
            if self._sound is not None:
                self._sound.close()

    def _start(self, image: UInt8Array) -> None:
        form, (height, width) = self._format, image.shape[:2]
        self._size = width, height = max(2, width // 2 * 2), max(2, height // 2 * 2)
        try:
            self._part = self._hidden.enter_context(hidden_file(self._target))
        except OSError as error:
            raise self._failed(error) from error
        self._output = av.open(f"file:{self._part}", "w", format=form.container, options=dict(form.muxing))
        try:
            added = self._output.add_stream(form.codec, rate=self._fps, options=dict(form.options))
            assert isinstance(added, VideoStream)
            self._stream = added
            self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, form.pixels
            context = self._stream.codec_context
            context.time_base = 1 / self._ticks
            context.colorspace, context.color_range = form.matrix, form.range
            context.color_primaries = context.color_trc = _BT709
            context.open()
        except (av.FFmpegError, ValueError, OverflowError) as error:
            raise InputError(
                self.path, f"cannot be written as {form.codec} of {width} x {height} ({error})", "try .avi"
            ) from error
        if self._sound_of is not None:
            self._sound = Sound(self._sound_of, self._output, copied=form.sound_copied, codec=form.sound)

    def _encode(self, image: UInt8Array, seconds: float) -> None:
        form = self._format
        assert self._output is not None
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24").reformat(
            format=form.pixels, dst_colorspace=form.matrix, dst_color_range=form.range
        )
        least = 1 if form.evenly else _LEAST_TICKS
        self._last = max(round(seconds * self._ticks), self._last + least if self._last >= 0 else 0)
        frame.pts, frame.time_base = self._last, 1 / self._ticks
        frame.duration = round(self._ticks / self._fps)
        self._output.mux(self._stream.encode(frame))
        if self._sound is not None:
            self._sound.until(seconds)

    def _finish(self, output: OutputContainer) -> None:
        if self.frames:
            output.mux(self._stream.encode(None))
            if self._sound is not None:
                self._sound.until(float(self._last / self._ticks + 1 / self._fps))
                self._sound.finish()

    def _place(self) -> None:
        try:
            with self._part.open("rb+") as file:
                os.fsync(file.fileno())
            self._part.replace(self._target)
        except OSError:
            self.frames = 0
            raise

    def _full(self) -> InputError:
        if not self.frames:
            return InputError(self.path, "the disk is full, and nothing is kept", "make room, or choose another place")
        return InputError(self.path, f"the disk is full after {self.frames} frames", "make room; what was done is kept")

    def _failed(self, error: av.FFmpegError | OSError) -> InputError:
        if error.errno == errno.ENOSPC:
            return self._full()
        reason = (error.strerror or str(error)).lower()
        return InputError(self.path, f"cannot be written ({reason})", "choose another place or make room")
