"""Any picture - a file, bytes, an array, a PIL image - as upright RGB pixels."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from segface_edge.errors import ImageError, PictureSizeError, UsageError

from .address import fetch, is_address
from .depth import bits_of, check_planes, deep_colors, has_deep_colors, of_8_bits
from .formats import DAMAGED, cure_of, open_picture, quiet
from .geometry import UInt8Array
from .remarks import remark

Photo = str | PathLike[str] | bytes | npt.NDArray[np.uint8] | Image.Image
Color = Literal["rgb", "bgr"]

DEFAULT_MAX_PIXELS = 100_000_000
# Four channels of more could not be counted in 31 bits, as OpenCV does.
LARGEST_MAX_PIXELS = 500_000_000
# Below this no face part has a pixel of its own.
MIN_SIDE = 16
_PAPER_WHITE = (255, 255, 255)
_ORIENTATION = 0x0112
# EXIF's orientation -> what makes the picture upright (EXIF 2.32, 4.6.4 A). Pillow's `exif_transpose` also writes the
# rest of the EXIF anew, which fails where that is damaged.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def load(photo: Photo, *, color: Color = "rgb", max_pixels: int = DEFAULT_MAX_PIXELS) -> UInt8Array:
    """Any picture as upright (H, W, 3) uint8 RGB.

    EXIF orientation is applied; grey becomes three equal channels, CMYK and palettes RGB; transparency is laid on
    white. Of several frames (GIF, TIFF) the first counts. Of 16 bits the upper 8 count; where a file uses only 8, 10,
    12 or 14 of them, of these. That is said on the log, and that a picture which is transparent everywhere is taken
    without its transparency.

    Args:
        photo: a path, an http(s) address (text), the bytes of an image file, a PIL image, or an array (H, W, 3) uint8.
        color: channel order of an array (OpenCV reads "bgr").
        max_pixels: pictures of more pixels are refused before they are decoded.

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
    if isinstance(photo, str) and is_address(photo):
        return _from_file(photo, fetch(photo), max_pixels)
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
        image = open_picture(content)
    except Image.DecompressionBombError as error:
        raise _too_large(name) from error
    except DAMAGED as error:
        raise ImageError(name, *cure_of(content)) from error
    with image:
        _check_size(name, image.size, max_pixels)
        return _decode(name, image, content)


def _too_large(name: str) -> ImageError:
    """Pillow opens some formats (WebP, TIFF in one piece) up to its own limit only."""
    problem = f"has over {2 * (Image.MAX_IMAGE_PIXELS or 0)} pixels, and Pillow reads no more of this format"
    return PictureSizeError(name, problem, "save it as JPEG or PNG, or scale it down")


def check_pixels(name: str, size: tuple[int, int], max_pixels: int) -> None:
    """Raises PictureSizeError where a picture of this width and height has more pixels than are read."""
    width, height = size
    if width * height > LARGEST_MAX_PIXELS:
        raise PictureSizeError(name, f"has {width} x {height} pixels, over {LARGEST_MAX_PIXELS}", "scale it down")
    if width * height > max_pixels:
        raise PictureSizeError(
            name,
            f"has {width} x {height} pixels, over the limit of {max_pixels}",
            "raise --max-pixels or scale it down",
        )


def _check_size(name: str, size: tuple[int, int], max_pixels: int) -> None:
    check_pixels(name, size, max_pixels)
    width, height = size
    if min(width, height) < MIN_SIDE:
        raise ImageError(name, f"is only {width} x {height} pixels", f"give at least {MIN_SIDE} x {MIN_SIDE}")


def _decode(name: str, image: Image.Image, content: bytes = b"") -> UInt8Array:
    """The pixels; `content` is the file, where it is at hand."""
    try:
        check_planes(name, image)
        deep = bool(content) and has_deep_colors(image)
        image.load()
        turn = _turn(image)
        bits = bits_of(image)
        if deep:
            image = deep_colors(name, image, content)
        rgb = _to_rgb(name, image if turn is None else image.transpose(turn), bits)
        return np.array(rgb, dtype=np.uint8)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(name) from error
    except MemoryError as error:
        raise ImageError(name, f"needs more memory than there is ({image.size})", "scale it down first") from error
    except (*DAMAGED, Warning) as error:
        if "not available" in str(error):  # `decoder jpeg2k not available`
            raise ImageError(name, f"cannot be read by this Pillow ({error})", "pip install -U Pillow") from error
        raise ImageError(name, f"is damaged ({error})", "download or save it again") from error


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What makes a picture upright; None also where its EXIF is damaged: the picture still counts."""
    with quiet():
        try:
            return _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
        except DAMAGED:
            return None


def _to_rgb(name: str, image: Image.Image, bits: int | None) -> Image.Image:
    if image.mode.startswith("I"):
        # 16 bit grey, in Pillow's "I;16" or, as some decoders give it, 32 bit.
        return Image.fromarray(of_8_bits(name, np.asarray(image), bits=bits)).convert("RGB")
    if image.mode == "F":
        raise ImageError(name, "has floating-point pixels", "save it with 8 or 16 bits")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layer = image.convert("RGBA")
        if layer.getchannel("A").getextrema() == (0, 0):
            remark(name, "is transparent everywhere; its colours are taken as they are")
            return layer.convert("RGB")
        paper = Image.new("RGBA", layer.size, (*_PAPER_WHITE, 255))
        return Image.alpha_composite(paper, layer).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")  # which copies also what is RGB
