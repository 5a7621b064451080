"""Label maps as files: pictures whose pixels are class ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from segface_edge.errors import DataError

from .depth import packings
from .formats import DAMAGED, open_picture
from .geometry import UInt8Array
from .reading import LARGEST_MAX_PIXELS
from .remarks import remark

_CURE = "save ids as 8-bit PNG"
# Grey of fewer than 8 bits, as Pillow says that it is packed -> bits. Decoders make it 0 to 255, so that id 1 of 4 bits
# becomes 17.
_GREY_BITS = {"1": 1, "L;2": 2, "L;4": 4}
_PALETTE_BITS = {"P;1": 1, "P;2": 2, "P;4": 4}


def indexed(labels: UInt8Array, palette: UInt8Array) -> Image.Image:
    """A label map as a palette image whose pixels are the ids.

    It has 256 colours: of fewer Pillow writes PNGs of 1, 2 or 4 bits, in which 255 becomes 15 and which others misread.

    Args:
        labels: (H, W) uint8.
        palette: (K, 3) uint8 RGB, of the first K ids; the rest are black.
    """
    picture = Image.fromarray(labels)
    colors = np.zeros((256, 3), np.uint8)
    colors[: len(palette)] = palette
    picture.putpalette(colors.tobytes())
    return picture


def read_ids(path: Path) -> tuple[UInt8Array, int]:
    """A label map's ids, (H, W) uint8 as they are stored, and the bits that an id has in the file.

    Indexed and grey PNGs of 1 to 16 bits. Grey of fewer than 8 bits is said on the log: other readers scale it.

    Raises:
        DataError: it cannot be read, is not one channel of ids, or an id is over 255.
    """
    try:
        content = path.read_bytes()
        with open_picture(content) as picture:
            if picture.width * picture.height > LARGEST_MAX_PIXELS:
                raise DataError(path, f"has over {LARGEST_MAX_PIXELS} pixels", "scale it down")
            return _ids(path, picture)
    except DAMAGED as error:
        raise DataError(path, "is not a label map that can be read", _CURE) from error


def _ids(path: Path, picture: Image.Image) -> tuple[UInt8Array, int]:
    (packed,) = packings(picture) or {picture.mode}
    if packed in _GREY_BITS:
        bits = _GREY_BITS[packed]
        factor = 255 // ((1 << bits) - 1)
        said = f"has label maps of {bits}-bit grey: ids are read as they are stored"
        remark(str(path.parent), f"{said}, other readers multiply them by {factor}")
        return np.array(picture.convert("L"), np.uint8) // np.uint8(factor), bits
    if picture.mode == "P" or (picture.mode == "L" and not packed.startswith("L;")):
        return np.array(picture, np.uint8), _PALETTE_BITS.get(packed, 8)
    if picture.mode.startswith("I") and ";16" in packed:
        deep = np.asarray(picture)
        if deep.max() > 255:
            raise DataError(path, f"has the id {deep.max()}, and ids end at 255 (ignored)", _CURE)
        return deep.astype(np.uint8), 16
    raise DataError(path, f"is a picture of mode {picture.mode}, not of label ids", _CURE)
