"""16 bits a channel as 8, by the range that is used: cameras and scanners put 10, 12 or 14 bits into files of 16."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, TiffImagePlugin

from segface_edge.errors import ImageError

from .formats import open_picture
from .geometry import UInt8Array
from .remarks import remark

_DEPTHS = (8, 10, 12, 14, 16)
_BITS_PER_SAMPLE, _PLANAR_CONFIGURATION, _SEPARATE = 258, 284, 2
# Pillow unpacks the upper byte of a colour of 16 bits; with the other byte order that is the lower one.
_OTHER_ORDER = {"16B": "16L", "16L": "16B", "16N": "16B" if sys.byteorder == "little" else "16L"}
_DEEP = {f"{mode};{order}" for mode in ("RGB", "RGBA", "RGBX", "LA") for order in _OTHER_ORDER}


def of_8_bits(name: str, values: npt.NDArray[np.integer], *, bits: int | None = None) -> UInt8Array:
    """Values of up to 16 bits as uint8, of any shape: the upper 8 of the bits that are used.

    Args:
        name: what messages call the picture.
        values: 0 to 65535.
        bits: how many are used, where that is known; else what `used_bits` says.

    Raises:
        ImageError: a value is out of range.
    """
    bits = bits or used_bits(name, values)
    return (values >> (bits - 8)).astype(np.uint8)


def used_bits(name: str, values: npt.NDArray[np.integer]) -> int:
    """The fewest of 8, 10, 12, 14 and 16 bits that hold the largest value; fewer than 16 are said on the log.

    Raises:
        ImageError: a value is not 0 to 65535.
    """
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise ImageError(name, "has 32-bit values", "save it with 8 or 16 bits")
    if high == 0:  # black
        return 16
    bits = next(depth for depth in _DEPTHS if high < 1 << depth)
    if bits < 16:
        remark(name, f"uses {bits} of its 16 bits (its largest value is {high}); it is scaled by these")
    return bits


def bits_of(image: Image.Image) -> int | None:
    """Bits of a sample where the file says that they are fewer than its pixels hold: 12 of a TIFF with 12."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return None
    said = image.tag_v2.get(_BITS_PER_SAMPLE, (16,))
    return int(said[0]) if 8 < int(said[0]) < 16 else None


def check_planes(name: str, image: Image.Image) -> None:
    """Raises ImageError for a TIFF whose colours of 16 bits lie in separate planes that are not compressed: Pillow 13
    takes each byte of them for a pixel, in silence (`findings/planar_tiff.sh`)."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return
    separate = image.tag_v2.get(_PLANAR_CONFIGURATION) == _SEPARATE
    if separate and max(image.tag_v2.get(_BITS_PER_SAMPLE, (8,))) > 8 and image.info.get("compression") == "raw":
        problem = "has 16 bits a channel in separate planes, which Pillow misreads"
        raise ImageError(name, problem, "save it with interleaved channels, or compressed")


def has_deep_colors(image: Image.Image) -> bool:
    """Whether it is a file with colours of 16 bits; to be asked before it is decoded."""
    return bool(
        packings(image) & {f"{mode};{order}" for mode in ("RGB", "RGBA", "RGBX", "LA") for order in _OTHER_ORDER}
    )


def deep_colors(name: str, image: Image.Image, content: bytes) -> Image.Image:
    """A file with colours of 16 bits as 8, by the range that is used; Pillow gives the upper 8, which then are black.

    Args:
        name: what messages call the picture.
        image: the file, decoded: RGB or RGBA.
        content: its bytes.

    Raises:
        ImageError: it is grey with transparency, of which Pillow has the upper bytes only.
    """
    upper = np.asarray(image)
    if upper[..., :3].max() >= 1 << 6:  # over 14 bits
        return image
    other = open_picture(content)
    if "LA;16B" in packings(other):
        problem = "is grey with transparency, and uses 14 or fewer of its 16 bits"
        raise ImageError(name, problem, "save it without transparency, or with 8 bits")
    other.tile = [_of_other_order(tile) for tile in _tiles(other)]  # type: ignore[attr-defined]
    values = upper.astype(np.uint16) << 8 | np.asarray(other)
    bits = used_bits(name, values[..., :3])
    colors = of_8_bits(name, values[..., :3], bits=bits)
    if values.shape[2] == 3:
        return Image.fromarray(colors)
    # Transparency is in the range of the colours, or in all 16 bits.
    alpha = of_8_bits(name, values[..., 3:], bits=bits if values[..., 3].max() < 1 << bits else 16)
    return Image.fromarray(np.concatenate([colors, alpha], axis=2))


def _tiles(image: Image.Image) -> list[Any]:
    """What Pillow is to decode: codec, place, offset, and arguments, the first of which says how pixels are packed."""
    return list(getattr(image, "tile", ()))


def packings(image: Image.Image) -> set[str]:
    """How the pixels of a file are packed, in Pillow's words (`L;4`: grey of 4 bits), before it is decoded."""
    return {tile[3] if isinstance(tile[3], str) else str((tile[3] or ("",))[0]) for tile in _tiles(image)}


def _of_other_order(tile: Any) -> Any:
    """A tile with the other byte order; a plain tuple before Pillow 11, with names from there on."""
    packed, *rest = [tile[3]] if isinstance(tile[3], str) else tile[3]
    mode, _, order = packed.partition(";")
    other = f"{mode};{_OTHER_ORDER[order]}"
    return getattr(type(tile), "_make", tuple)((*tile[:3], (other, *rest) if rest else other))
