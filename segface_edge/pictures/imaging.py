"""Reading pictures, fitting them to the network's frame, and bringing label maps back: the only pre- and
post-processing of the product. Training, evaluation and the runtime all use it, so it cannot drift.

Coordinates are continuous: pixel i covers [i, i + 1), its centre is i + 0.5.
"""

from __future__ import annotations

import io
import math
import warnings
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from segface_edge.errors import ImageError, UsageError

UInt8Array = npt.NDArray[np.uint8]
Photo = str | PathLike[str] | bytes | npt.NDArray[np.uint8] | Image.Image
Color = Literal["rgb", "bgr"]

DEFAULT_MAX_PIXELS = 100_000_000
# Pillow refuses more by itself, whatever we ask for.
LARGEST_MAX_PIXELS = 178_000_000
# Below this no face part has a pixel of its own.
MIN_SIDE = 16
# Padding becomes 0 after ImageNet normalisation.
PADDING = (124, 116, 104)
# Standard deviation, in frame pixels, of the smoothing of masks that are enlarged.
SMOOTHING = 0.6
_PAPER_WHITE = (255, 255, 255)


@dataclass(frozen=True, kw_only=True)
class FaceBox:
    """Where a face is, in the photo's pixels.

    Attributes:
        left, top, right, bottom: edges, continuous coordinates.
        score: detection score in [0, 1]; 1 where the box was given.
        landmarks: (x, y) of the right eye, the left eye, the nose, the right and the left corner of the mouth (the
            subject's right, so mostly left in the photo), or None.
        track: the face's number through a steady video, from 0; None elsewhere.
    """

    left: float
    top: float
    right: float
    bottom: float
    score: float = 1.0
    landmarks: tuple[tuple[float, float], ...] | None = None
    track: int | None = None

    def moved(self, x: float, y: float) -> FaceBox:
        """The same, elsewhere."""
        points = self.landmarks and tuple((px + x, py + y) for px, py in self.landmarks)
        return replace(
            self, left=self.left + x, top=self.top + y, right=self.right + x, bottom=self.bottom + y, landmarks=points
        )

    @classmethod
    def whole(cls, height: int, width: int) -> FaceBox:
        """The box of a whole frame."""
        return cls(left=0.0, top=0.0, right=float(width), bottom=float(height))


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """The way between photo and network frame:

        frame x = scale_x * photo x + turn_x * photo y + offset_x
        frame y = turn_y * photo x + scale_y * photo y + offset_y

    Attributes:
        scale_x, scale_y: frame pixels per photo pixel, for a frame that is not turned.
        offset_x, offset_y: where the photo's corner lies in the frame.
        left, top, right, bottom: the part of the frame that shows the photo; the rest is padding.
        turn_x, turn_y: 0 for a frame that is not turned.
    """

    scale_x: float
    scale_y: float
    offset_x: float
    offset_y: float
    left: int
    top: int
    right: int
    bottom: int
    turn_x: float = 0.0
    turn_y: float = 0.0

    @property
    def turned(self) -> bool:
        """Whether the frame's sides are not the photo's."""
        return self.turn_x != 0 or self.turn_y != 0

    @property
    def enlarges(self) -> bool:
        """Whether the photo has more pixels than the frame shows of it."""
        return min(math.hypot(self.scale_x, self.turn_y), math.hypot(self.scale_y, self.turn_x)) < 1

    def to_photo(self, x: float, y: float) -> tuple[float, float]:
        """A point of the frame in the photo."""
        determinant = self.scale_x * self.scale_y - self.turn_x * self.turn_y
        x, y = x - self.offset_x, y - self.offset_y
        return (self.scale_y * x - self.turn_x * y) / determinant, (self.scale_x * y - self.turn_y * x) / determinant

    def for_photo_scaled(self, x: float, y: float) -> Geometry:
        """The same way for a photo whose width and height are x and y times as large."""
        return Geometry(
            scale_x=self.scale_x / x,
            scale_y=self.scale_y / y,
            offset_x=self.offset_x,
            offset_y=self.offset_y,
            left=self.left,
            top=self.top,
            right=self.right,
            bottom=self.bottom,
            turn_x=self.turn_x / y,
            turn_y=self.turn_y / x,
        )


@dataclass(frozen=True)
class Fitted:
    """A face in the network's frame.

    Attributes:
        pixels: (S, S, 3) uint8 RGB.
        geometry: the way back.
    """

    pixels: UInt8Array
    geometry: Geometry


def load(photo: Photo, *, color: Color = "rgb", max_pixels: int = DEFAULT_MAX_PIXELS) -> UInt8Array:
    """Any picture as upright (H, W, 3) uint8 RGB.

    EXIF orientation is applied; grey becomes three equal channels, CMYK and palettes RGB, 16 bit the upper 8;
    transparency is laid on white. Of several frames (GIF, TIFF) the first counts.

    Args:
        photo: a path, the bytes of an image file, a PIL image, or an array (H, W, 3) uint8.
        color: channel order of an array (OpenCV reads "bgr").
        max_pixels: larger pictures are refused before they are decoded.

    Raises:
        ImageError: it cannot be read, is too large, or smaller than 16 pixels on a side.
        UsageError: `color` or `max_pixels` does not exist.
    """
    if not 1 <= max_pixels <= LARGEST_MAX_PIXELS:
        raise UsageError(f"max pixels {max_pixels}", "is out of range", f"give 1 to {LARGEST_MAX_PIXELS}")
    if color not in ("rgb", "bgr"):
        raise UsageError(f"color {color!r}", "is unknown", "use 'rgb' or 'bgr'")
    if isinstance(photo, np.ndarray):
        return _from_array(photo, color, max_pixels)
    if isinstance(photo, Image.Image):
        _check_size("picture", photo.size, max_pixels)
        return _decode("picture", photo)
    if isinstance(photo, bytes | bytearray | memoryview):
        return _from_file("picture", bytes(photo), max_pixels)
    if isinstance(photo, str | PathLike):
        path = Path(photo)
        try:
            content = path.read_bytes()
        except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
            problem = getattr(error, "strerror", None) or str(error)
            raise ImageError(path, problem.lower(), "give the path of a picture") from error
        return _from_file(str(path), content, max_pixels)
    raise ImageError(
        f"a {type(photo).__name__}", "is not a picture", "give a path, bytes, a PIL image or a uint8 array (H, W, 3)"
    )


def _from_array(array: npt.NDArray[np.uint8], color: Color, max_pixels: int) -> UInt8Array:
    what = f"array {array.shape} {array.dtype}"
    if array.dtype != np.uint8:
        raise ImageError(what, "is not uint8", "scale it to 0..255 and convert: array.astype(np.uint8)")
    if array.ndim != 3 or array.shape[2] != 3:
        raise ImageError(what, "is not (H, W, 3)", "give three channels last; stack a grey picture three times")
    _check_size(what, (array.shape[1], array.shape[0]), max_pixels)
    return np.ascontiguousarray(array[:, :, ::-1] if color == "bgr" else array)


def _from_file(name: str, content: bytes, max_pixels: int) -> UInt8Array:
    if not content:
        raise ImageError(name, "is empty (0 bytes)", "give a picture")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is checked next
            image = Image.open(io.BytesIO(content))
    except Image.DecompressionBombError as error:
        raise ImageError(name, f"has more than {LARGEST_MAX_PIXELS} pixels", "scale it down first") from error
    except (OSError, SyntaxError, ValueError, RuntimeError) as error:  # RuntimeError: a damaged AVIF
        raise ImageError(name, "is not a picture that can be read", "give a JPEG, PNG, WebP, TIFF or BMP") from error
    with image:
        _check_size(name, image.size, max_pixels)
        return _decode(name, image)


def _check_size(name: str, size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise ImageError(
            name,
            f"has {width} x {height} pixels, over the limit of {max_pixels}",
            "raise --max-pixels or scale it down",
        )
    if min(width, height) < MIN_SIDE:
        raise ImageError(name, f"is only {width} x {height} pixels", f"give at least {MIN_SIDE} x {MIN_SIDE}")


def _decode(name: str, image: Image.Image) -> UInt8Array:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # Pillow's on EXIF that is damaged; the picture still counts
            upright = ImageOps.exif_transpose(image)
            return np.array(_to_rgb(name, upright), dtype=np.uint8)
    except (OSError, SyntaxError, ValueError, RuntimeError, EOFError, MemoryError) as error:
        raise ImageError(name, f"is damaged ({error})", "download or save it again") from error


def _to_rgb(name: str, image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # 16 bit grey, in Pillow's "I;16" or, as some decoders give it, 32 bit.
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ImageError(name, "has 32-bit values", "save it with 8 or 16 bits")
        return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ImageError(name, "has floating-point pixels", "save it with 8 or 16 bits")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layer = image.convert("RGBA")
        paper = Image.new("RGBA", layer.size, (*_PAPER_WHITE, 255))
        return Image.alpha_composite(paper, layer).convert("RGB")
    return image.convert("RGB")


def fit(image: UInt8Array, size: int, *, box: FaceBox | None = None, squash: bool = False) -> Fitted:
    """A picture, or a box of it, in the network's frame: antialiased bicubic (Pillow's, as SegFace's evaluation).

    Args:
        image: (H, W, 3) uint8 RGB.
        size: S.
        box: the part to show; the whole picture if None. What lies outside the picture is padding.
        squash: stretch to the square (the paper's protocol) instead of keeping the aspect ratio with padding.
    """
    height, width = image.shape[:2]
    box = box or FaceBox.whole(height, width)
    seen = (max(box.left, 0.0), max(box.top, 0.0), min(box.right, float(width)), min(box.bottom, float(height)))
    if seen[0] >= seen[2] or seen[1] >= seen[3]:
        raise ImageError(f"face box {box}", f"lies outside the picture of {width} x {height}", "give a box inside it")
    box_width, box_height = box.right - box.left, box.bottom - box.top
    if squash:
        scale_x, scale_y = size / box_width, size / box_height
    else:
        scale_x = scale_y = size / max(box_width, box_height)
    # The box is centred in the frame; of it, the part inside the picture is drawn at whole frame pixels.
    origin_x, origin_y = (size - box_width * scale_x) / 2, (size - box_height * scale_y) / 2
    left, right = _drawn(origin_x + (seen[0] - box.left) * scale_x, origin_x + (seen[2] - box.left) * scale_x, size)
    top, bottom = _drawn(origin_y + (seen[1] - box.top) * scale_y, origin_y + (seen[3] - box.top) * scale_y, size)
    drawn = Image.fromarray(image).resize((right - left, bottom - top), Image.Resampling.BICUBIC, box=seen)
    if (left, top, right, bottom) == (0, 0, size, size):
        pixels = np.asarray(drawn)
    else:
        pixels = np.full((size, size, 3), PADDING, np.uint8)
        pixels[top:bottom, left:right] = np.asarray(drawn)
    exact_x, exact_y = (right - left) / (seen[2] - seen[0]), (bottom - top) / (seen[3] - seen[1])
    geometry = Geometry(
        scale_x=exact_x,
        scale_y=exact_y,
        offset_x=left - seen[0] * exact_x,
        offset_y=top - seen[1] * exact_y,
        left=left,
        top=top,
        right=right,
        bottom=bottom,
    )
    return Fitted(pixels, geometry)


def _drawn(start: float, stop: float, size: int) -> tuple[int, int]:
    """Whole frame pixels nearest to [start, stop), at least one."""
    first = min(max(round(start), 0), size - 1)
    return first, min(max(round(stop), first + 1), size)


def restore(labels: UInt8Array, geometry: Geometry, height: int, width: int) -> UInt8Array:
    """A label map of the network's frame in the photo's pixels, with smooth edges.

    Each class's mask is interpolated bilinearly at the photo's pixel centres, and the largest wins (the lowest label
    of equals). A mask is warped only where its class is, and in 8 bits: weights that differ by less than 1/255 may
    count as equal.

    Where the photo is larger than the frame, masks are smoothed first: bilinear weights of a hard mask alone give
    back its blocks (at twice the size they equal nearest-neighbour). The width is the one that serves thin classes
    best; `benchmarks/restore.py` measures it.

    Args:
        labels: (S, S) uint8.
        geometry: from `fit`.
        height, width: of the photo.

    Returns:
        (height, width) uint8; background (0) outside the part of the photo that the frame showed.
    """
    rows, columns, part = restore_part(labels, geometry, height, width)
    return _whole(rows, columns, part, height, width)


def restore_part(labels: UInt8Array, geometry: Geometry, height: int, width: int) -> tuple[range, range, UInt8Array]:
    """The same without the pixels around it: the photo's rows and columns that the frame shows, and their labels."""
    shown = labels[geometry.top : geometry.bottom, geometry.left : geometry.right]
    columns, rows = _shown(geometry, height, width)
    target = np.zeros((len(rows), len(columns)), np.uint8)
    if not target.size:
        return rows, columns, target
    largest = np.zeros_like(target)
    for label in np.flatnonzero(np.bincount(shown.reshape(-1), minlength=1)):
        mask: npt.NDArray[Any] = np.equal(shown, label).view(np.uint8) * np.uint8(255)
        if geometry.enlarges:
            mask = cv2.GaussianBlur(mask, (3, 3), SMOOTHING, borderType=cv2.BORDER_REPLICATE)
        left, top, mask_width, mask_height = cv2.boundingRect(mask)
        # A mask reaches one frame pixel beyond its last.
        reach = (geometry.left + left - 1, geometry.top + top - 1, mask_width + 2, mask_height + 2)
        x, y = _reached(geometry, reach, columns, rows)
        if not len(x) or not len(y):
            continue
        warped = _warp(mask, geometry, x, y)
        window = np.s_[y.start - rows.start : y.stop - rows.start, x.start - columns.start : x.stop - columns.start]
        wins = cv2.compare(warped, largest[window], cv2.CMP_GT)
        cv2.copyTo(warped, wins, largest[window])
        target[window][wins != 0] = label
    return rows, columns, target


def restore_confidence(confidence: UInt8Array, geometry: Geometry, height: int, width: int) -> UInt8Array:
    """A confidence map (S, S) uint8 of the network's frame in the photo's pixels, bilinear: (height, width) uint8."""
    rows, columns, part = restore_confidence_part(confidence, geometry, height, width)
    return _whole(rows, columns, part, height, width)


def restore_confidence_part(
    confidence: UInt8Array, geometry: Geometry, height: int, width: int
) -> tuple[range, range, UInt8Array]:
    """The same without the pixels around it, as of `restore_part`."""
    columns, rows = _shown(geometry, height, width)
    shown = np.ascontiguousarray(confidence[geometry.top : geometry.bottom, geometry.left : geometry.right])
    if not len(columns) or not len(rows):
        return rows, columns, np.zeros((len(rows), len(columns)), np.uint8)
    return rows, columns, _warp(shown, geometry, columns, rows)


def _whole(rows: range, columns: range, part: UInt8Array, height: int, width: int) -> UInt8Array:
    if part.shape == (height, width):
        return part
    restored = np.zeros((height, width), np.uint8)
    restored[rows.start : rows.stop, columns.start : columns.stop] = part
    return restored


def _shown(geometry: Geometry, height: int, width: int) -> tuple[range, range]:
    """The photo's columns and rows whose centres the frame shows, or, turned, may show."""
    part = (geometry.left, geometry.top, geometry.right - geometry.left, geometry.bottom - geometry.top)
    return _reached(geometry, part, range(width), range(height))


def _reached(geometry: Geometry, part: tuple[int, int, int, int], columns: range, rows: range) -> tuple[range, range]:
    """Those of the photo's columns and rows that a part (left, top, width, height) of the frame lies in."""
    left, top, width, height = part
    if not geometry.turned:
        return (
            _covered(columns, left, width, geometry.scale_x, geometry.offset_x),
            _covered(rows, top, height, geometry.scale_y, geometry.offset_y),
        )
    corners = [geometry.to_photo(left + x, top + y) for x in (0, width) for y in (0, height)]
    found = []
    for photo, values in zip((columns, rows), zip(*corners, strict=True), strict=True):
        first, last = math.ceil(min(values) - 0.5), math.floor(max(values) - 0.5)
        found.append(range(max(first, photo.start), max(min(last + 1, photo.stop), photo.start)))
    return found[0], found[1]


def _covered(photo: range, start: int, length: int, scale: float, offset: float) -> range:
    """The pixels of `photo` whose centres lie in frame coordinates [start, start + length]."""
    first = math.ceil((start - offset) / scale - 0.5 - 1e-6)
    last = math.floor((start + length - offset) / scale - 0.5 + 1e-6)
    return range(max(first, photo.start), max(min(last + 1, photo.stop), photo.start))


def _warp(shown: UInt8Array, geometry: Geometry, columns: range, rows: range) -> UInt8Array:
    """The shown part of the frame, bilinear, at the centres of the photo's `columns` and `rows`."""
    x, y = columns.start + 0.5, rows.start + 0.5
    first_x = x * geometry.scale_x + y * geometry.turn_x + geometry.offset_x - geometry.left - 0.5
    first_y = x * geometry.turn_y + y * geometry.scale_y + geometry.offset_y - geometry.top - 0.5
    to_frame = np.array([[geometry.scale_x, geometry.turn_x, first_x], [geometry.turn_y, geometry.scale_y, first_y]])
    warped = cv2.warpAffine(
        shown,
        to_frame,
        (len(columns), len(rows)),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        # Not turned, only pixels that the frame shows are asked for; turned, there are others among them.
        borderMode=cv2.BORDER_CONSTANT if geometry.turned else cv2.BORDER_REPLICATE,
    )
    return np.asarray(warped, np.uint8)
