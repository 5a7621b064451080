"""The formats that videos are written in, a row each."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from segface_edge.errors import UsageError
from segface_edge.files import check_place

# As FFmpeg numbers matrices and ranges.
_ITU709, _ITU601, _TV, _PC = 1, 5, 1, 2


@dataclass(frozen=True, kw_only=True)
class Format:
    """How a kind of file is written.

    Attributes:
        container: FFmpeg's name of it.
        codec, options: of the pictures.
        pixels, matrix, range: how colours are stored; players are told.
        sound_copied: codecs of sound that are copied; others become `sound`.
        evenly: it has a rate and no times: frames lie in slots.
        muxing: options of the container.
    """

    container: str
    codec: str = "libx264"
    options: dict[str, str] = field(default_factory=lambda: {"preset": "ultrafast", "crf": "20"})
    pixels: str = "yuv420p"
    matrix: int = _ITU709
    range: int = _TV
    sound_copied: frozenset[str]
    sound: str = "aac"
    evenly: bool = False
    muxing: dict[str, str] = field(default_factory=dict)


# The index first, so that a video plays while it is loaded.
_FASTSTART = {"movflags": "+faststart"}
# Sound that browsers play in an MP4, and what else Apple's players know.
_IN_BROWSERS = frozenset({"aac", "mp3", "mp3float", "opus", "flac"})
_APPLES = frozenset({"alac", "ac3", "eac3", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be"})
FORMATS = {
    ".mp4": Format(container="mp4", sound_copied=_IN_BROWSERS, muxing=_FASTSTART),
    ".m4v": Format(container="mp4", sound_copied=_IN_BROWSERS, muxing=_FASTSTART),
    ".mov": Format(container="mov", sound_copied=_APPLES | {"aac", "mp3", "mp3float"}, muxing=_FASTSTART),
    ".mkv": Format(container="matroska", sound_copied=_APPLES | _IN_BROWSERS | {"vorbis", "dca", "mp2"}),
    ".webm": Format(
        container="webm",
        codec="libvpx-vp9",
        options={"deadline": "realtime", "cpu-used": "8", "crf": "30", "b": "0"},
        sound_copied=frozenset({"opus", "vorbis"}),
        sound="libopus",
    ),
    ".avi": Format(
        container="avi",
        codec="mjpeg",
        options={"qmin": "2", "qmax": "3"},
        pixels="yuvj420p",
        matrix=_ITU601,
        range=_PC,
        sound_copied=frozenset({"mp3", "mp3float", "ac3", "pcm_s16le"}),
        sound="libmp3lame",
        evenly=True,
        # Encoders of sound begin a moment before zero: that would move all pictures by a whole slot.
        muxing={"avoid_negative_ts": "disabled"},
    ),
}
WRITTEN_SUFFIXES = tuple(FORMATS)


def check_video_place(path: Path) -> None:
    """Raises where a video could not be written, before anything is decoded."""
    if path.suffix.lower() not in WRITTEN_SUFFIXES:
        raise UsageError(path, "is no name of a video that can be written", f"use {', '.join(WRITTEN_SUFFIXES)}")
    check_place(path)
