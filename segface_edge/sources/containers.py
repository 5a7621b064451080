"""Video files and streams, opened with PyAV: what is in them, and when it begins."""

from __future__ import annotations

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from .kinds import is_network

# Seconds that a network may take to answer, and between two packets.
_PATIENCE_S = (20.0, 20.0)
# Times that go back so far begin anew; by less they are inexact, and the next is so much later at least.
_ANEW_S, _LEAST_S = 0.3, 0.001
# What FFmpeg also opens: pictures, text drawn as on a terminal, and lists that lead to other files.
_NO_VIDEOS = ("image2", "ico", "tty", "bin", "xbin", "adf", "idf", "hls", "concat", "lavfi", "webp", "gif", "apng")


def open_container(source: str) -> InputContainer:
    """A file or an address, opened.

    Raises:
        av.FFmpegError: it cannot be read.
    """
    if is_network(source):
        # Cameras over UDP lose packets, and their pictures parts.
        options = {"rtsp_transport": "tcp"} if source.startswith("rtsp") else {}
        return av.open(source, timeout=_PATIENCE_S, options=options, metadata_errors="replace")
    # A file by that name whatever colons it has, and nothing but files behind it.
    return av.open(f"file:{source}", options={"protocol_whitelist": "file"}, metadata_errors="replace")


def pictures_of(container: InputContainer) -> VideoStream | None:
    """Its video; None where there is none, a song's cover not being one."""
    name = container.format.name
    if name.endswith("_pipe") or name.startswith("jpegxl") or name in _NO_VIDEOS:
        return None
    for stream in container.streams.video:
        known = stream.codec_context is not None and stream.codec_context.width > 0
        if known and not stream.disposition & Disposition.attached_pic:
            return stream
    return None


def beginning(container: InputContainer) -> float:
    """Seconds, on the file's own clock, at which its pictures begin: its sound is as late or early as they are."""
    stream = pictures_of(container)
    if stream is None or stream.start_time is None or stream.time_base is None:
        return 0.0
    return float(stream.start_time * stream.time_base)


class Clock:
    """A file's own times as seconds since its beginning, which never go back.

    Args:
        start: what the file calls its beginning.
        step: seconds to go on by where it has no time, or begins anew.
    """

    def __init__(self, start: float, step: float) -> None:
        self._start, self._step = start, step
        self._last: float | None = None

    def __call__(self, time: float | None) -> float:
        """Seconds of what comes next. Parts of a DVD, recordings one after another: each begins at any."""
        last, step = self._last, self._step
        if time is None:
            now = 0.0 if last is None else last + step
        else:
            now = time - self._start
            if last is not None and now < last - _ANEW_S:
                self._start, now = time - last - step, last + step
            elif last is not None:
                now = max(now, last + _LEAST_S)
        self._last = now
        return now
