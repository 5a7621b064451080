"""The sound of one video beside the pictures of another: copied packet by packet, or encoded again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet

from .containers import Clock, beginning, open_container

# Every encoder that is used here takes it.
_HERTZ = 48000
# Seconds between two packets where they do not say.
_STEP_S = 0.02

_Piece: TypeAlias = "Packet[AudioStream] | AudioFrame"


class Sound:
    """The sound of a file, for a video that is being written. Of several the first is taken.

    Args:
        path: whose sound.
        output: the video that is written, before its first frame.
        copied: codecs that it takes as they are.
        codec: what others are encoded with.

    Attributes:
        state: `none`, `copied`, `as aac` (or another), or `left out: ` and why.
    """

    def __init__(self, path: Path, output: OutputContainer, *, copied: frozenset[str], codec: str) -> None:
        self.state = "none"
        self._output = output
        self._source: InputContainer | None = None
        self._pieces: Iterator[_Piece] = iter(())
        try:
            self._source = open_container(str(path))
            found = [one for one in self._source.streams.audio if one.codec_context is not None]
            if found:
                self._clock = Clock(beginning(self._source), _STEP_S)
                self._pieces = self._begin(found[0], copied, codec)
        except (av.FFmpegError, OSError, ValueError) as error:
            self._leave_out(error)
        self._waiting = self._next()

    def until(self, seconds: float) -> None:
        """Writes what is heard before `seconds` of the video.

        Raises:
            OSError: it cannot be written.
        """
        while self._waiting is not None and self._waiting[0] < seconds:
            start, piece = self._waiting
            if start >= 0:
                self._write(start, piece)
            self._waiting = self._next()

    def finish(self) -> None:
        """Writes what the encoder still holds. Raises OSError as `until`."""
        if self._source is not None and self.state.startswith("as "):
            self._output.mux(self._stream.encode(None))

    def close(self) -> None:
        """Lets go of the source."""
        if self._source is not None:
            self._source.close()
            self._source = None

    def _begin(self, stream: AudioStream, copied: frozenset[str], codec: str) -> Iterator[_Piece]:
        if stream.codec_context.name in copied:
            self._stream = self._output.add_stream_from_template(stream)
            self.state = "copied"
            return (packet for packet in self._demuxed(stream) if packet.size)
        layout = "mono" if stream.codec_context.channels == 1 else "stereo"
        added = self._output.add_stream(codec, rate=_HERTZ, layout=layout)
        assert isinstance(added, AudioStream)
        self._stream = added
        self.state = f"as {added.codec_context.codec.canonical_name}"
        return _decoded(self._demuxed(stream))

    def _demuxed(self, stream: AudioStream) -> Iterator[Packet[AudioStream]]:
        assert self._source is not None
        return self._source.demux(stream)

    def _next(self) -> tuple[float, _Piece] | None:
        """Its start in seconds and what comes next."""
        try:
            piece = next(self._pieces, None)
        except (av.FFmpegError, OSError) as error:  # the file breaks off there, which is said of its pictures
            self.state += f" until it breaks off ({error})"
            piece = None
        if piece is None:
            return None
        known = piece.pts is not None and piece.time_base is not None
        return self._clock(float(piece.pts * piece.time_base) if known else None), piece  # type: ignore[operator]

    def _write(self, start: float, piece: _Piece) -> None:
        if isinstance(piece, AudioFrame):
            piece.time_base = Fraction(1, piece.sample_rate)
            piece.pts = round(start * piece.sample_rate)
            self._output.mux(self._stream.encode(piece))
            return
        piece.pts = piece.dts = round(start / piece.time_base)
        piece.stream = self._stream
        self._output.mux(piece)

    def _leave_out(self, error: Exception) -> None:
        self.state = f"left out: it cannot be read ({error})"
        self.close()


def _decoded(packets: Iterable[Packet[AudioStream]]) -> Iterator[AudioFrame]:
    """What can be decoded of it; a damaged packet is a moment of silence."""
    for packet in packets:
        try:
            frames = packet.decode()
        except av.InvalidDataError:
            continue
        yield from frames
