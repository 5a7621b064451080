"""Videos and cameras as frames with times, decoded ahead in a thread."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Protocol

from segface_edge.errors import DataError, MissingDependencyError, SegFaceEdgeError, UsageError
from segface_edge.pictures.geometry import UInt8Array
from segface_edge.pictures.reading import DEFAULT_MAX_PIXELS

from .ahead import Ahead
from .animation import Animation, is_animation, is_avif
from .kinds import ONE_BY_ONE, is_live, is_network

# Frames that wait between decoding and whoever takes them: bounds the memory.
_AHEAD = 4
# What hangs in a read is left to its own thread after so long.
_PATIENCE_S = 2.0


@dataclass(frozen=True)
class Frame:
    """A picture of a video.

    Attributes:
        index: its number, from 0; of a camera the number of frames taken before it.
        seconds: since the video's start, as the file has it: not all are evenly spaced.
        image: (H, W, 3) uint8 RGB, upright, its pixels square.
    """

    index: int
    seconds: float
    image: UInt8Array


class Reader(Protocol):
    """What reads one kind of source: `recorded.py`, `camera.py`, `animation.py`."""

    live: bool
    width: int
    height: int
    fps: float
    count: int | None

    def read(self) -> Iterator[tuple[float, Callable[[], UInt8Array]]]:
        """Seconds and what makes the picture, to be called before the next is asked for. Raises DataError."""

    def close(self) -> None:
        """Lets go of the source."""


class Video:
    """Frames of a video file, camera or stream; decoded in a thread, `_AHEAD` frames ahead.

    A recording's frames all come, in order. Of a camera or stream the newest does: what was not taken in time is
    dropped.

    Args:
        source: a file, an animated picture, a camera's index (`"0"`), an address (`rtsp://…`), or a GStreamer pipeline
            (with `!`).
        every: only each so many-th frame.
        max_pixels: a file or stream whose frames have more is refused before one is decoded.

    Attributes:
        live: whether it is a camera or a stream without an end.
        width, height: of its first frame, upright, its pixels square.
        fps: frames a second, by the times of its first ones where the file says none; 25 where nobody knows.
        count: frames that there will be, None where that is unknown.

    Raises:
        DataError: there is no such source, or no video in it.
        PictureSizeError: its frames have more pixels than `max_pixels`.
        UsageError: `every` is below 1.
        MissingDependencyError: PyAV is not installed.
    """

    def __init__(self, source: str | PathLike[str], *, every: int = 1, max_pixels: int = DEFAULT_MAX_PIXELS) -> None:
        if every < 1:
            raise UsageError(f"every {every}", "is below 1", "use 1 for all frames")
        source = str(source)
        self.source, self._every = source, every
        self._reader = _open(source, max_pixels)
        self.live, self.fps = self._reader.live, self._reader.fps
        self.width, self.height = self._reader.width, self._reader.height
        self.count = None if self._reader.count is None else -(-self._reader.count // every)
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
        try:
            for index, (seconds, picture) in enumerate(self._reader.read()):
                if index % self._every == 0:  # frames that are left out need not become pictures
                    yield Frame(index, seconds, picture())
        except SegFaceEdgeError:
            raise
        except Exception as error:  # OpenCV's and FFmpeg's have no common base
            raise DataError(
                self.source, f"cannot be read any further ({error})", "check where it comes from"
            ) from error
        finally:
            self._reader.close()


def _open(source: str, max_pixels: int) -> Reader:
    """Who reads it: the table of sources."""
    path = Path(source)
    if is_live(source) and not is_network(source):
        from .camera import Camera

        return Camera(source)
    if not is_network(source) and not path.is_file():
        if path.is_dir():
            raise DataError(source, "is a folder, not a video", ONE_BY_ONE)
        if glob.has_magic(source):
            raise DataError(source, "is a pattern of several videos", ONE_BY_ONE)
        raise DataError(source, "no such file", "give a video, or a camera's index")
    if path.is_file() and is_animation(source):
        return Animation(source, max_pixels=max_pixels)
    if path.is_file() and is_avif(path):  # of a damaged one FFmpeg may take a gigabyte before it gives up
        raise DataError(
            source, "is an AVIF without an animation that can be read", "give a video (Pillow reads AVIF from 11.3 on)"
        )
    try:
        from .recorded import Recorded
    except ModuleNotFoundError as error:
        raise MissingDependencyError("PyAV", "reads videos and is not installed", "pip install av") from error
    return Recorded(source, max_pixels=max_pixels)
