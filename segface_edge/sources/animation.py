"""Animated GIF, WebP, APNG and AVIF as videos, read with Pillow: what is transparent lies on white, as in photos."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from PIL import Image

from segface_edge.errors import DataError, PictureSizeError
from segface_edge.pictures import reading
from segface_edge.pictures.formats import DAMAGED
from segface_edge.pictures.geometry import UInt8Array

_FORMATS = ("GIF", "WEBP", "PNG", "AVIF")
# Browsers show frames of a hundredth of a second or less for a tenth.
_SHORTEST_S, _USUAL_S = 0.011, 0.1
_LOOKED_AT = 16


class Animation:
    """An animated picture, once through, as `video.Reader` describes it.

    Args:
        source: the file.
        max_pixels: see `Video`.

    Raises:
        DataError: it cannot be read.
        PictureSizeError: it has more pixels.
    """

    live = False

    def __init__(self, source: str, *, max_pixels: int = reading.DEFAULT_MAX_PIXELS) -> None:
        self._source, self._max_pixels = source, max_pixels
        try:
            self._image = Image.open(source)
        except DAMAGED as error:
            raise DataError(source, f"is no animation that can be read ({error})", "save it again") from error
        try:
            reading.check_pixels(source, self._image.size, max_pixels)
            self.width, self.height = self._image.size
            # A picture for those that show no animations may stand before it.
            self._first = int(bool(getattr(self._image, "default_image", False)))
            self._frames = int(getattr(self._image, "n_frames", 1))
            self.count: int | None = self._frames - self._first
            spans = [self._span(self._first)]
        except PictureSizeError:
            self._image.close()
            raise
        except DAMAGED as error:
            self._image.close()
            raise DataError(source, f"is no animation that can be read ({error})", "save it again") from error
        with suppress(*DAMAGED):  # what breaks off later says so when it is read
            spans += [self._span(index) for index in range(self._first + 1, min(self._frames, _LOOKED_AT))]
        self.fps = len(spans) / sum(spans)

    def read(self) -> Iterator[tuple[float, Callable[[], UInt8Array]]]:
        """Seconds and what makes the picture, frame by frame. Raises DataError where it breaks off."""
        seconds = 0.0
        for index in range(self._first, self._frames):
            try:
                span = self._span(index)
            except DAMAGED as error:
                done = index - self._first
                raise DataError(
                    self._source, f"breaks off after {done} of {self.count} frames", "copy or download it again"
                ) from error
            yield seconds, partial(reading.load, self._image, max_pixels=self._max_pixels)
            seconds += span

    def close(self) -> None:
        """Lets go of the file."""
        self._image.close()

    def _span(self, index: int) -> float:
        """Goes to a frame; seconds that it is shown for."""
        self._image.seek(index)
        self._image.load()  # a WebP does not know before
        span = float(self._image.info.get("duration", 0) or 0) / 1000
        return span if span >= _SHORTEST_S else _USUAL_S


def is_avif(path: Path) -> bool:
    """Whether a file says that it is one, still or moving."""
    try:
        with path.open("rb") as file:
            return file.read(12)[4:] in (b"ftypavif", b"ftypavis")
    except OSError:
        return False


def is_animation(path: str) -> bool:
    """Whether a file is a picture that moves."""
    try:
        with Image.open(path) as image:
            return image.format in _FORMATS and bool(getattr(image, "is_animated", False))
    except DAMAGED:
        return False
