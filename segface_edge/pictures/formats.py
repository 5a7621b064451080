"""Which formats of pictures are read here, and why others are not."""

from __future__ import annotations

import io
import logging
import struct
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import PurePath

from PIL import Image, UnidentifiedImageError

from segface_edge.errors import DataError
from segface_edge.extras import pip_install
from segface_edge.quiet import keep_libtiff_quiet

from .remarks import remark

# What Pillow registers without reading pixels of it by itself: it only writes PDF and Palm, runs Ghostscript for EPS,
# finds the size of MPEG and IPTC, and has no reader of the others but one that a program hands in. FITS are
# measurements of telescopes, and `.fit` what sports watches write.
_NO_PHOTOS = {"PDF", "PALM", "EPS", "MPEG", "IPTC", "BUFR", "GRIB", "HDF5", "WMF", "FITS"}

_NO_PICTURES = "no pictures"
_HEIF_SUFFIXES = (".heic", ".heics", ".heif", ".heifs", ".hif")
_AVIF_CURE = "pip install -U 'Pillow>=11.3'"
_RAW = (".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw")
# Pictures that are not read without more: suffix -> the cure.
_CURES = {
    **dict.fromkeys((".avif", ".avifs"), _AVIF_CURE),
    **dict.fromkeys((".jxl", ".svg", ".xcf", ".psb", ".pdf", ".eps"), "save as PNG or JPEG"),
    **dict.fromkeys(_RAW, "develop to TIFF, PNG or JPEG"),
}
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_USUAL = ".jpg, .png, .webp, .tif"
# What Pillow raises of damaged files: its readers index, unpack and divide by what they find there.
DAMAGED = (
    *(
        OSError,
        SyntaxError,
        ValueError,
        RuntimeError,
        EOFError,
        LookupError,
        ArithmeticError,
        TypeError,
        AttributeError,
    ),
    *(struct.error, MemoryError, Image.DecompressionBombError),
)
# Of the suffixes that are left out a line names so many.
_NAMED = 4

_LOCK = threading.Lock()
# What Pillow logs of damaged files would be shown where no program sets up logging; what fails is said in our words.
logging.getLogger("PIL").addHandler(logging.NullHandler())


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings while a header is read. They are silenced in the whole process, hence by one thread at a time."""
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@cache
def reads_heif() -> bool:
    """Whether pillow-heif is installed; Pillow then knows its formats from here on."""
    Image.init()
    if "HEIF" not in Image.OPEN:  # else whoever registered it may have chosen its options
        try:
            import_module("pillow_heif").register_heif_opener()
        except ImportError:
            return False
    return True


def suffixes() -> frozenset[str]:
    """Suffixes of what is read here, in small letters: those that Pillow and its plugins register."""
    reads_heif()
    known = Image.registered_extensions()
    return frozenset(suffix for suffix, kind in known.items() if kind not in _NO_PHOTOS)


def pictures_among(place: object, names: Iterable[str]) -> list[str]:
    """Those of the files of a folder that are pictures by their suffixes, in their order; hidden ones left out.

    Where pictures are left out, one line on the log says how many files are, why, and the cure; notes beside photos
    alone are not worth one.

    Args:
        place: the folder, for messages.
        names: its files, or paths of them.

    Raises:
        DataError: none is a picture that is read here.
    """
    known, kept = suffixes(), []
    reasons: dict[str, list[str]] = {}
    for name in names:
        path = PurePath(name)
        suffix = path.suffix.lower()
        if path.name.startswith("."):
            continue
        if suffix in known:
            kept.append(name)
        else:
            cure = pip_install("heif") if suffix in _HEIF_SUFFIXES else _CURES.get(suffix)
            reasons.setdefault(f"first: {cure}" if cure else _NO_PICTURES, []).append(suffix)
    why = ", ".join(_counted(found, reason) for reason, found in sorted(reasons.items()))
    if not kept:
        holds = f"holds no pictures that can be read: {why}" if why else "holds no pictures"
        raise DataError(place, holds, f"give a folder with {_USUAL} or other pictures")
    if any(reason != _NO_PICTURES for reason in reasons):
        count = sum(map(len, reasons.values()))
        remark(str(place), f"{count} file{'s' if count > 1 else ''} left out: {why}")
    return kept


def _counted(found: list[str], reason: str) -> str:
    kinds = sorted(suffix or "without suffix" for suffix in set(found))
    return f"{len(found)} {' '.join(kinds[:_NAMED])}{' …' if len(kinds) > _NAMED else ''} ({reason})"


def open_picture(content: bytes) -> Image.Image:
    """The bytes of a picture, opened but not decoded, of whatever size: who decodes it looks at that first.

    Raises:
        Of `DAMAGED`: not a picture that is read here.
    """
    if content[:2] in (b"II", b"MM"):
        keep_libtiff_quiet()
    if content[4:8] == b"ftyp":
        reads_heif()
    try:
        with quiet():
            return Image.open(io.BytesIO(content))
    except Image.DecompressionBombError:
        return _open_large(content)


def _open_large(content: bytes) -> Image.Image:
    """As `Image.open`, which refuses more than twice `Image.MAX_IMAGE_PIXELS`.

    That number belongs to the program that we are part of: we look at sizes ourselves, and leave it as it is.
    """
    with quiet():
        Image.init()
        for name in Image.ID:
            factory, accept = Image.OPEN[name]
            fits = accept is None or accept(content[:16])
            if fits and not isinstance(fits, str):  # words say what is not installed
                try:
                    return factory(io.BytesIO(content), "")
                except DAMAGED:  # not this format
                    continue
    raise UnidentifiedImageError("no format that is known")


def cure_of(content: bytes) -> tuple[str, str]:
    """What is wrong with bytes that cannot be opened, and the cure."""
    if content[4:8] == b"ftyp" and content[8:12] in (b"avif", b"avis") and ".avif" not in suffixes():
        return "is an AVIF that this Pillow does not read", _AVIF_CURE
    if content[4:8] == b"ftyp" and content[8:12] in _HEIF_BRANDS and not reads_heif():
        return "is a HEIC picture, which Pillow does not read by itself", pip_install("heif")
    return "is not a picture that can be read", "give a JPEG, PNG, WebP, TIFF or BMP"
