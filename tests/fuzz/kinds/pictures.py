"""Pictures of every format, from the bundled portrait, small."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from segface_edge import zoo
from segface_edge.pictures.formats import reads_heif
from segface_edge.pictures.reading import load
from tests.fuzz.mutate import changed_bytes

# Of a small device: a header alone must not take more than this asks for.
_MOST_PIXELS = 4_000_000


def portrait(size: tuple[int, int] = (48, 40), mode: str = "RGB") -> Image.Image:
    """The bundled one."""
    with Image.open(zoo.PORTRAIT) as picture:
        return picture.convert("RGB").resize(size).convert(mode)


def saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    """A file's bytes."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def _deep() -> Image.Image:
    grey = np.asarray(portrait(mode="L")).astype(np.uint16)
    return Image.fromarray(grey * 16)


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a portrait"
    return exif


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _with_checks(random: Random, content: bytes) -> bytes:
    """A PNG whose chunks are changed and have the right checksums, so that what reads them is reached."""
    at, parts = 8, [content[:8]]
    while at + 12 <= len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        kind, inner = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        if random.random() < 0.3:
            inner = changed_bytes(random, inner)
        if random.random() < 0.03:
            kind = random.choice((b"tRNS", b"PLTE", b"iCCP", b"fcTL", b"acTL", b"fdAT", b"eXIf", b"zTXt", b"gAMA"))
        if random.random() > 0.05:
            parts.append(_chunk(kind, inner))
        at += 12 + length
    return b"".join(parts)


def _jpeg() -> list[bytes]:
    rgb = portrait()
    return [
        saved(rgb, "JPEG", quality=80),
        saved(rgb, "JPEG", quality=60, progressive=True, exif=_exif()),
        saved(portrait(mode="CMYK"), "JPEG"),
        saved(portrait(mode="L"), "JPEG", icc_profile=b"x" * 200),
        saved(rgb, "MPO", save_all=True, append_images=[rgb]),
    ]


def _png() -> list[bytes]:
    moving = [portrait(), portrait().transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    return [
        saved(portrait(), "PNG"),
        saved(portrait(mode="RGBA"), "PNG", exif=_exif()),
        saved(portrait(mode="P"), "PNG", transparency=3),
        saved(portrait(mode="1"), "PNG"),
        saved(portrait(mode="LA"), "PNG"),
        saved(_deep(), "PNG"),
        saved(moving[0], "PNG", save_all=True, append_images=moving[1:], duration=50),
    ]


def _webp() -> list[bytes]:
    return [
        saved(portrait(), "WEBP", quality=50),
        saved(portrait(mode="RGBA"), "WEBP", lossless=True, exif=_exif()),
        saved(portrait(), "WEBP", save_all=True, append_images=[portrait()], duration=40),
    ]


def _avif() -> list[bytes]:
    return [saved(portrait(), "AVIF", speed=10), saved(portrait(mode="RGBA"), "AVIF", speed=10, exif=_exif())]


def _bmp() -> list[bytes]:
    simple = [saved(portrait(), kind) for kind in ("BMP", "ICO", "TGA", "PPM", "PCX", "DDS", "QOI", "SGI", "IM")]
    return [
        *simple,
        saved(portrait(mode="P"), "BMP"),
        saved(portrait(mode="P"), "PCX"),
        saved(portrait(mode="L"), "TGA", compression="tga_rle"),
        saved(portrait(mode="1"), "XBM"),
        saved(portrait(), "ICNS"),
    ]


def _tiff() -> list[bytes]:
    kinds = ("raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")
    return [
        *(saved(portrait(), "TIFF", compression=kind) for kind in kinds),
        saved(portrait(mode="1"), "TIFF", compression="group4"),
        saved(portrait(mode="CMYK"), "TIFF"),
        saved(portrait(mode="RGBA"), "TIFF", exif=_exif()),
        saved(portrait(mode="P"), "TIFF", compression="tiff_lzw"),
        saved(_deep(), "TIFF"),
        saved(portrait(mode="F"), "TIFF"),
        saved(portrait(), "TIFF", save_all=True, append_images=[portrait()]),
    ]


def _gif() -> list[bytes]:
    return [
        saved(portrait(), "GIF"),
        saved(portrait(), "GIF", save_all=True, append_images=[portrait(mode="L")], duration=30, transparency=0),
    ]


def _jpeg2000() -> list[bytes]:
    return [saved(portrait(), "JPEG2000"), saved(portrait(mode="L"), "JPEG2000", irreversible=True, num_resolutions=3)]


def _heic() -> list[bytes]:
    reads_heif()
    return [saved(portrait((64, 64)), "HEIF", quality=40)]


# Where a format keeps width and height: (offset, bytes of each, order); of JPEG it is looked for.
_SIDES = {"PNG": (16, 4, "big"), "GIF": (6, 2, "little"), "BMP": (18, 4, "little"), "TGA": (12, 2, "little")}


@cache
def _small(kind: str) -> bytes:
    return saved(portrait((16, 16)), kind)


def _lying(random: Random) -> bytes:
    """A picture whose header says another size."""
    kind = random.choice(("PNG", "GIF", "BMP", "TGA", "PPM", "JPEG", "TIFF", "WEBP", "PCX", "SGI"))
    content = bytearray(_small(kind))
    sides = [random.choice((0, 1, 17, 1999, 20_000, 65_500, 2**31 - 1, 2**32 - 1)) for _ in range(2)]
    if kind in _SIDES:
        at, size, order = _SIDES[kind]
        for index, side in enumerate(sides):
            content[at + index * size : at + (index + 1) * size] = (side % 256**size).to_bytes(size, order)  # type: ignore[arg-type]
        if kind == "PNG":
            content[29:33] = struct.pack(">I", zlib.crc32(bytes(content[12:29])))
    elif kind == "PPM":
        content[:] = bytes(content).replace(b"16 16", b"%d %d" % tuple(sides), 1)
    elif kind == "JPEG":
        at = content.index(b"\xff\xc0") + 5
        content[at : at + 4] = struct.pack(">HH", *(side % 65536 for side in sides))
    else:  # sixteen stands in it somewhere
        places = [at for at in range(len(content) - 4) if content[at : at + 2] in (b"\x10\0", b"\0\x10")]
        for at in random.sample(places, min(2, len(places))):
            content[at : at + 2] = struct.pack("<H", random.choice(sides) % 65536)
    return bytes(content)


class Fuzz:
    def __init__(self, folder: Path, argument: str) -> None:  # noqa: ARG002
        self.make: Callable[[Random], bytes]
        if argument == "headers":
            self.make = _lying
            return
        seeds: list[bytes] = globals()[f"_{argument}"]()

        def make(random: Random) -> bytes:
            content = random.choice(seeds)
            if argument == "png" and random.random() < 0.7:
                return _with_checks(random, content)
            return changed_bytes(random, content, seeds)

        self.make = make

    def run(self, given: bytes) -> None:
        pixels = load(given, max_pixels=_MOST_PIXELS)
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3
        assert pixels.shape[2] == 3
