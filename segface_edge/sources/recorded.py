"""Videos from files and over networks, read with PyAV: upright, square pixels, each frame at its own time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from itertools import chain
from typing import cast

import av
import numpy as np
import numpy.typing as npt
from av.packet import Packet
from av.sidedata.sidedata import SideDataContainer
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace
from av.video.stream import VideoStream

from segface_edge.errors import DataError, PictureSizeError
from segface_edge.pictures.geometry import UInt8Array
from segface_edge.pictures.reading import DEFAULT_MAX_PIXELS, check_pixels

from .containers import Clock, beginning, open_container, pictures_of
from .kinds import is_network

# Packets that are looked at before the first is decoded, for their times; fewer of large ones.
_LOOKED_AT, _BYTES_LOOKED_AT = 64, 2**24
_USUAL_FPS, _MOST_FPS = 25.0, 1000.0
# A container's rate that is so many times off from its own frames' is none. A field may be counted as a frame.
_FAR_OFF = 3
# Frames that a file may say to have and has not.
_MISSING = 2
# Pixels over so many times as wide as high, or as high as wide, are a mistake.
_OBLONG = 5
# Pixels by which a decoder's frame may be wider and higher than the picture.
_EDGES = 128
_UNSPECIFIED = 2  # AVCOL_SPC_UNSPECIFIED
_HIGH_DEFINITION = 720


class Recorded:
    """A file or a network's stream, as `video.Reader` describes it.

    A rate that the container gives is believed where its frames' times agree. What lasts for some time known before
    it is played is a recording, also over a network; what does not is live.

    Args:
        source: a file, or an address.
        max_pixels: see `Video`.

    Raises:
        DataError: it cannot be opened, or there is no video in it.
        PictureSizeError: its frames have more pixels.
    """

    def __init__(self, source: str, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> None:
        self._source, self._max_pixels = source, max_pixels
        try:
            self._container = open_container(source)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise DataError(source, _unreadable(source, error), _cure(source)) from error
        stream = pictures_of(self._container)
        if stream is None:
            self._container.close()
            raise DataError(source, "holds no video", _cure(source))
        self._stream = stream
        self._oblong = _pixel_aspect(stream)
        width, height = stream.codec_context.width, stream.codec_context.height
        self.width, self.height = self._square(width, height)
        try:
            check_pixels(source, (self.width, self.height), max_pixels)
        except PictureSizeError:
            self._container.close()
            raise
        # Frames that turn out to be larger are not decoded either; decoders count the edges that they put around them,
        # and pixels that are not square as one.
        largest = max(max_pixels, (width + _EDGES) * (height + _EDGES))
        stream.codec_context.options = {"max_pixels": str(largest)}
        self.live = is_network(source) and self._container.duration is None
        # Frames and slices, whichever the codec can: as many threads as there are cores.
        stream.thread_type = "AUTO"
        packets = self._container.demux(stream)
        try:
            ahead = [] if self.live else _look_at(packets)
        except (av.FFmpegError, OSError) as error:
            self._container.close()
            raise DataError(source, _unreadable(source, error), _cure(source)) from error
        self._packets = chain(ahead, packets)
        self.fps = _rate(stream, ahead)
        # In MP4, MOV and AVI. A phone that cut an MP4's ends off leaves their frames in the count.
        self.count = stream.frames or None
        if self.count is not None and "mp4" in self._container.format.name and stream.duration and stream.time_base:
            self.count = min(self.count, max(1, round(stream.duration * stream.time_base * Fraction(self.fps))))
        self._frames = self._decoded()
        if not self.live:  # how it is turned is known from its first frame only
            try:
                first = next(self._frames)
            except (DataError, PictureSizeError):
                self._container.close()
                raise
            self._frames = chain([first], self._frames)
            self.width, self.height = self._square(first[1].width, first[1].height)
            if _is_sideways(_display(first[1])):
                self.width, self.height = self.height, self.width

    def read(self) -> Iterator[tuple[float, Callable[[], UInt8Array]]]:
        """Seconds and what makes the picture, frame by frame. Raises DataError where there ought to be more, and
        PictureSizeError of one that has too many pixels."""
        return ((seconds, partial(self._picture, frame)) for seconds, frame in self._frames)

    def close(self) -> None:
        """Lets go of the file."""
        self._container.close()

    def _decoded(self) -> Iterator[tuple[float, VideoFrame]]:
        clock = Clock(beginning(self._container), 1 / self.fps)
        index = damaged = 0
        seconds = 0.0
        try:
            for packet in self._packets:
                if not packet.size and packet.dts is not None:
                    continue  # an AVI's way of showing a frame for longer; the end is one without a time
                try:
                    frames = packet.decode()
                except av.InvalidDataError:
                    damaged += index > 0  # a recording may begin in the midst of something
                    continue
                for frame in frames:
                    check_pixels(self._source, self._square(frame.width, frame.height), self._max_pixels)
                    seconds = max(0.0, clock(_time(frame)))
                    yield seconds, frame
                    index += 1
        except (av.FFmpegError, OSError) as error:
            raise DataError(
                self._source, f"breaks off after {index} frames ({_reason(error)})", "copy or download it again"
            ) from error
        self._check_end(index, damaged, seconds)

    def _check_end(self, index: int, damaged: int, seconds: float) -> None:
        source, again = self._source, "copy or download it again"
        if self.live:
            raise DataError(source, f"gives no more frames after {index}", "check its cable or its network")
        if not index:
            raise DataError(source, "holds no frame that can be read", _cure(source))
        # An AVI counts the moments at which it shows the frame before for longer.
        reached = max(index, round(seconds * (self._stream.average_rate or Fraction(self.fps))) + 1)
        if self.count is not None and reached < self.count - _MISSING:
            raise DataError(source, f"breaks off after {index} of {self.count} frames", again)
        if damaged:
            raise DataError(source, f"has {damaged} damaged frames beside the {index} that were read", again)

    def _picture(self, frame: VideoFrame) -> UInt8Array:
        width, height = self._square(frame.width, frame.height)
        unknown = frame.colorspace == _UNSPECIFIED and frame.height >= _HIGH_DEFINITION
        colours = Colorspace.ITU709 if unknown else None  # as players take it; smaller ones are ITU 601's
        rgb = frame.to_ndarray(
            width=width, height=height, format="rgb24", src_colorspace=colours, interpolation="BICUBIC"
        )
        return _upright(np.asarray(rgb, np.uint8), _display(frame))

    def _square(self, width: int, height: int) -> tuple[int, int]:
        """A frame's size with square pixels: made larger, so that nothing is lost."""
        oblong = self._oblong
        return (round(width * oblong), height) if oblong >= 1 else (width, round(height / oblong))


def _look_at(packets: Iterator[Packet[VideoStream]]) -> list[Packet[VideoStream]]:
    taken, size = [], 0
    for packet in packets:
        taken.append(packet)
        size += packet.size
        if len(taken) == _LOOKED_AT or size > _BYTES_LOOKED_AT:
            break
    return taken


def _time(frame: VideoFrame) -> float | None:
    if frame.pts is not None:
        return float(frame.time)
    return None if frame.dts is None or frame.time_base is None else float(frame.dts * frame.time_base)


def _rate(stream: VideoStream, packets: list[Packet[VideoStream]]) -> float:
    """Frames a second."""
    said = float(stream.average_rate or stream.guessed_rate or 0)
    times = sorted(packet.pts for packet in packets if packet.pts is not None)
    if len(times) > 2 and times[-1] > times[0] and stream.time_base:
        found = float((len(times) - 1) / ((times[-1] - times[0]) * stream.time_base))
        if not found / _FAR_OFF < said < found * _FAR_OFF:
            said = found
    return said if 0 < said <= _MOST_FPS else _USUAL_FPS


def _pixel_aspect(stream: VideoStream) -> Fraction:
    """How many times as wide as high its pixels are."""
    said = stream.sample_aspect_ratio
    return said if said and Fraction(1, _OBLONG) <= said <= _OBLONG else Fraction(1)


def _display(frame: VideoFrame) -> npt.NDArray[np.int32] | None:
    """How the camera was held: FFmpeg's display matrix, (3, 3).

    Not by `frame.side_data`, which a frame keeps and which keeps the frame: its pixels, and the threads that made RGB
    of them, would be there until Python looks for cycles (`findings/pyav_side_data_keeps_frames.sh`).
    """
    found = SideDataContainer(frame).get("DISPLAYMATRIX")  # type: ignore[call-arg]  # its stub has no arguments
    return None if found is None else np.frombuffer(bytes(cast(bytes, found)), np.int32).reshape(3, 3)


def _is_sideways(display: npt.NDArray[np.int32] | None) -> bool:
    """Whether rows become columns."""
    return display is not None and abs(int(display[0, 1])) > abs(int(display[0, 0]))


def _upright(picture: UInt8Array, display: npt.NDArray[np.int32] | None) -> UInt8Array:
    """Turned and mirrored as the display matrix says: x' = a x + c y, y' = b x + d y, in quarter turns."""
    if display is None:
        return picture
    (a, b), (c, d) = display[:2, :2].tolist()
    if _is_sideways(display):
        picture, a, d = picture.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(picture[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()


def _unreadable(source: str, error: Exception) -> str:
    if is_network(source):
        return f"is no camera or stream that can be opened ({_reason(error)})"
    return "is no video that can be read" + ("" if isinstance(error, av.InvalidDataError) else f" ({_reason(error)})")


def _cure(source: str) -> str:
    return "check the address" if is_network(source) else "give an MP4, MOV, AVI, MKV or WebM file"
