"""Where photos come from: a file, a folder, a glob, a list, an http(s) address, standard input."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from segface_edge.errors import DataError
from segface_edge.pictures.address import is_address
from segface_edge.pictures.formats import pictures_among, suffixes
from segface_edge.pictures.remarks import remark

from .kinds import ONE_BY_ONE, VIDEO_SUFFIXES

STDIN = "-"
# A photo of the largest allowed size, uncompressed; more is not a photo.
_MAX_STDIN = 512 * 2**20
_MAX_LIST = 256 * 2**20


@dataclass(frozen=True)
class Source:
    """One photo.

    Attributes:
        name: what messages call it.
        photo: a path, the bytes of an image file, or an http(s) address, which is fetched when it is read.
        below: where it lies in the folder that was named, its own name included; None: no folder was.
    """

    name: str
    photo: Path | bytes | str
    below: Path | None = None


def named(photo: Source | str | PathLike[str] | bytes) -> Source:
    """One photo: a path, an http(s) address or the bytes of an image file, with what messages call it."""
    if isinstance(photo, Source):
        return photo
    if isinstance(photo, bytes):
        return Source("picture", photo)
    return Source(str(photo), photo if isinstance(photo, str) and is_address(photo) else Path(photo))


def find_all(sources: Iterable[str], stdin: BinaryIO | None = None, *, recursive: bool = False) -> list[Source]:
    """The photos of several sources, as `find` finds them, each once: how often others were named is logged."""
    found: dict[object, Source] = {}
    repeated = []
    for one in (one for source in sources for one in find(source, stdin, recursive=recursive)):
        key = one.photo.resolve() if isinstance(one.photo, Path) else one.name
        if key in found:
            repeated.append(one.name)
        found.setdefault(key, one)
    if repeated:
        remark(repeated[0], f"named more than once, {len(repeated)} such in all: each photo is parsed once")
    return list(found.values())


def find(source: str, stdin: BinaryIO | None = None, *, recursive: bool = False) -> list[Source]:
    """The photos that `source` names, sorted. Files of a folder that are no pictures are left out, in one logged line.

    Args:
        source: a file, a folder, a glob, an http(s) address, a list (`.txt`, an address or a path relative to it a
            line), or `-` for standard input.
        stdin: what `-` reads from.
        recursive: of a folder, the pictures of its folders too.

    Raises:
        DataError: there is no such file, or no picture in it.
    """
    if source == STDIN:
        if stdin is None:
            raise DataError(source, "standard input is not at hand", "give a file")
        content = stdin.read(_MAX_STDIN + 1)
        if len(content) > _MAX_STDIN:
            raise DataError("standard input", f"is over {_MAX_STDIN} bytes", "give one picture")
        return [Source("standard input", content)]
    if not source:
        raise DataError("the source", "is empty", "give a picture, a folder or a glob")
    if is_address(source):
        return [Source(source, source)]
    path = Path(source)
    if path.is_dir():
        inside = path.rglob("*") if recursive else path.iterdir()
        seen = (p for p in inside if p.is_file() and not any(part[0] == "." for part in p.relative_to(path).parts))
        names = _pictures(path, sorted(seen))
        return [Source(name, Path(name), Path(name).relative_to(path)) for name in names]
    if path.suffix.lower() == ".txt" and path.is_file():
        return _listed(path)
    if not path.exists() and glob.has_magic(source):
        matches = sorted(p for p in map(Path, glob.glob(source, recursive=True)) if p.is_file())
        if not matches:
            raise DataError(source, "matches no file", "check the pattern, and quote it against the shell")
        # As in a folder, only pictures; unless the pattern asks for something else (`*.dat`).
        if any(p.suffix.lower() in (*suffixes(), *VIDEO_SUFFIXES) for p in matches):
            return [Source(name, Path(name)) for name in _pictures(source, matches)]
        return [Source(str(p), p) for p in matches]
    return [Source(str(path), path)]


def _pictures(place: str | Path, paths: list[Path]) -> list[str]:
    """The names of those that are pictures. Raises DataError where none is: they may be videos."""
    videos = [p for p in paths if p.suffix.lower() in VIDEO_SUFFIXES]
    known = suffixes()
    if videos and not any(p.suffix.lower() in known for p in paths):
        count = f"{len(videos)} video{'s' if len(videos) > 1 else ''}"
        raise DataError(place, f"holds {count} and no picture", ONE_BY_ONE)
    return pictures_among(place, map(str, paths))


def _listed(path: Path) -> list[Source]:
    """The photos of a list, in its order; empty lines and those that begin with # are left out."""
    try:
        if path.stat().st_size > _MAX_LIST:
            raise DataError(path, f"is over {_MAX_LIST} bytes", "give a list of paths")
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(path, f"is no list of paths ({error})", "write a path a line") from error
    named = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not named:
        raise DataError(path, "names no picture", "write a path a line")
    return [Source(one, one) if is_address(one) else Source(str(path.parent / one), path.parent / one) for one in named]
