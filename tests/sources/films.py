"""Videos made for the tests, as cameras and browsers make them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

RED, HERTZ, TICKS = (200, 30, 40), 48000, 90000


def film(
    path: Path,
    *,
    codec: str = "libx264",
    container: str | None = None,
    times: Sequence[float] = tuple(index / 10 for index in range(8)),
    rate: int = 10,
    ticks: int = TICKS,
    size: tuple[int, int] = (96, 64),
    pixel: Fraction | None = None,
    pixels: str = "yuv420p",
    sound: str | None = None,
    flash: float | None = None,
) -> Path:
    """A red square left of the middle on grey; from `flash` on all is white, and is to be heard.

    Args:
        path: where to.
        codec, container: FFmpeg's names; of the suffix where None.
        times: seconds at which each frame is shown.
        rate: frames a second that the file says.
        ticks: parts of a second that times are counted in.
        size: width, height.
        pixel: how many times as wide as high a pixel is.
        pixels: how they are stored.
        sound: its codec; it lasts for 0.2 s longer than the pictures.
        flash: seconds.
    """
    width, height = size
    with av.open(f"file:{path}", "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        stream.codec_context.time_base = Fraction(1, ticks)
        stream.codec_context.bit_rate = 2_000_000
        if pixel is not None:
            stream.codec_context.sample_aspect_ratio = pixel
        heard = output.add_stream(sound, rate=HERTZ, layout="mono", bit_rate=64_000) if sound else None
        for seconds in times:
            picture = np.full((height, width, 3), 90, np.uint8)
            picture[height // 4 : 3 * height // 4, width // 8 : 3 * width // 8] = RED
            if flash is not None and seconds >= flash - 1e-6:
                picture[:] = 255
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = round(seconds * ticks), Fraction(1, ticks)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if heard is not None:
            count = round((times[-1] + 0.2) * HERTZ)
            wave = np.sin(np.arange(count) / 8) * 12000 * (np.arange(count) >= (flash or 0) * HERTZ)
            for start in range(0, count, 960):
                piece = av.AudioFrame.from_ndarray(wave[None, start : start + 960].astype(np.int16), "s16", "mono")
                piece.sample_rate, piece.pts, piece.time_base = HERTZ, start, Fraction(1, HERTZ)
                output.mux(heard.encode(piece))
            output.mux(heard.encode(None))
    return path


def turned(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """An MP4 whose header says how the camera was held: a, b, c, d of the display matrix."""
    content, (a, b, c, d) = bytearray(path.read_bytes()), matrix
    at = content.find(b"tkhd") + 4 + 40
    content[at : at + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    return path


def first_sound(path: Path) -> float:
    """Seconds, after the first picture, at which a file becomes loud."""
    with av.open(f"file:{path}") as source:
        start = next(source.decode(video=0)).time
    with av.open(f"file:{path}") as source:
        for frame in source.decode(audio=0):
            wave = np.abs(frame.to_ndarray().astype(float)).reshape(-1)
            loud = np.flatnonzero(wave > 0.3 * (32768 if frame.format.name.startswith("s16") else 1) * 0.36)
            if len(loud):
                step = loud[0] if frame.format.is_planar else loud[0] // frame.layout.nb_channels
                return float(frame.time + step / frame.sample_rate - start)
    raise AssertionError("is silent")


def is_red(picture: np.ndarray, box: tuple[slice, slice]) -> bool:
    """Whether the middle of a box has the square's colour, as far as a lossy codec keeps it."""
    return bool(np.abs(np.median(picture[box].reshape(-1, 3), axis=0) - RED).max() < 14)
