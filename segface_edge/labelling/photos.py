"""Which photos a source names: files, or rows of Parquet files that hold their bytes; each once."""

from __future__ import annotations

import glob
import posixpath
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path
from typing import Any

from pyarrow import ArrowException, types
from pyarrow.fs import FileSelector, FileSystem, FileType
from pyarrow.parquet import ParquetFile

from segface_edge.errors import DataError
from segface_edge.pictures.address import is_address
from segface_edge.pictures.formats import pictures_among
from segface_edge.sources import photos as local

from .places import UNREADABLE, Places, first_line, is_uri, text_of

LIST, PARQUET = ".txt", ".parquet"
# The columns of a Parquet file that are looked at: the pictures themselves, their paths.
BYTES, IMAGE, PATH = "bytes", "image", "path"
_KINDS = f"give it a column '{PATH}' of text, '{BYTES}' of binary, or '{IMAGE}' as Hugging Face's datasets write it"


@dataclass(frozen=True)
class Photos:
    """Some photos of one kind.

    Attributes:
        names: of each, as its row of the result has it.
        table: the Parquet file that holds their bytes; empty: they are files or addresses.
        group: the row group of that file.
        rows: in that row group, of each.
    """

    names: tuple[str, ...]
    table: str = ""
    group: int = 0
    rows: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def only(self, places: Iterable[int]) -> Photos:
        """Those at these places of `names`."""
        kept = tuple(places)
        rows = tuple(self.rows[index] for index in kept) if self.table else ()
        return replace(self, names=tuple(self.names[index] for index in kept), rows=rows)


@dataclass(frozen=True)
class Found:
    """What a source names.

    Attributes:
        photos: all of them, none twice.
        duplicates: how often one was named again.
        example: one that was.
    """

    photos: tuple[Photos, ...]
    duplicates: int = 0
    example: str = ""

    def __len__(self) -> int:
        return sum(map(len, self.photos))


def find(sources: str | Iterable[str], places: Places, *, recursive: bool = False) -> Found:
    """The photos of a picture, a folder, a glob, a list (.txt), an address, or Parquet files; or of several of these.

    Args:
        sources: local paths or URIs, or one; a list and a Parquet file name local paths relative to themselves.
        places: opens URIs.
        recursive: of a folder, the pictures of its folders too.

    Raises:
        DataError: there is no such file, or no picture in it.
    """
    named = [sources] if isinstance(sources, str) else list(sources)
    seen: set[str] = set()
    found: list[Photos] = []
    duplicates, example = 0, ""
    for photos in chain.from_iterable(_kinds(source, places, recursive=recursive) for source in named):
        new = []
        for index, name in enumerate(photos.names):
            if name in seen:
                duplicates, example = duplicates + 1, example or name
            else:
                seen.add(name)
                new.append(index)
        if new:
            found.append(photos if len(new) == len(photos) else photos.only(new))
    if not found:
        raise DataError(", ".join(named), "names no picture", "give pictures")
    return Found(tuple(found), duplicates, example)


def without(photos: Iterable[Photos], done: Collection[str]) -> list[Photos]:
    """Those whose names are not among `done`, as results have them."""
    left = [one.only(index for index, name in enumerate(one.names) if text_of(name) not in done) for one in photos]
    return [one for one in left if len(one)]


def split(photos: Iterable[Photos], most: int) -> Iterator[Photos]:
    """The same, so many at most at a time."""
    for one in photos:
        for start in range(0, len(one), most):
            yield one.only(range(start, min(start + most, len(one))))


def _kinds(source: str, places: Places, *, recursive: bool) -> Iterator[Photos]:
    if not source or source == local.STDIN:
        raise DataError(
            source or "the source", "is no file", "give a picture, a folder, a glob, a list or a Parquet file"
        )
    files = _files(source, places, recursive=recursive)
    pictures = [name for name in files if not name.lower().endswith(PARQUET)]
    if pictures:
        yield Photos(tuple(pictures))
    for name in files:
        if name.lower().endswith(PARQUET):
            yield from _of_table(name, places)


def _files(source: str, places: Places, *, recursive: bool) -> list[str]:
    """Their names."""
    if is_address(source):
        return [source]
    here = not is_uri(source) or source.startswith("file://")
    name = source.removeprefix("file://") if here else places.named(source)
    if name.lower().endswith(LIST) and (not here or Path(name).is_file()):
        return _listed(places.named(name), places)
    if not here:
        return _remote(name, places, recursive=recursive)
    found = [one.name for one in local.find(name, recursive=recursive)]
    if len(found) == 1 and not Path(found[0]).exists():
        raise DataError(source, "no such file", "give a picture, a folder, a glob, a list or a Parquet file")
    return [places.named(one) for one in found]


def _remote(name: str, places: Places, *, recursive: bool) -> list[str]:
    """As local ones: a file, a folder's pictures, or what a pattern without ** matches."""
    files, path = places.of(name)
    try:
        info = files.get_file_info(path)
        if info.type == FileType.File:
            return [name]
        if info.type == FileType.NotFound and glob.has_magic(path):
            parts = path.split("/")
            fixed = next(index for index, part in enumerate(parts) if glob.has_magic(part))
            base = FileSelector("/".join(parts[:fixed]) or "/", recursive=fixed < len(parts) - 1, allow_not_found=True)
            inside = [one for one in _files_in(files, base) if _matches(one, path)]
            if not inside:
                raise DataError(name, "matches no file", "check the pattern, and quote it against the shell")
            if tables := [one for one in inside if one.lower().endswith(PARQUET)]:
                return [places.inside(name, one) for one in tables]
        elif info.type == FileType.NotFound:
            raise DataError(name, "no such file", "check the name")
        else:
            listed = _files_in(files, FileSelector(path, recursive=recursive))
            inside = [one for one in listed if "/." not in one.removeprefix(path)]
    except (OSError, ArrowException) as error:
        raise DataError(
            name, f"cannot be listed ({first_line(error)})", "check the name and the credentials"
        ) from error
    return [places.inside(name, one) for one in pictures_among(name, inside)]


def _files_in(files: FileSystem, selector: FileSelector) -> list[str]:
    """Their paths, sorted."""
    return sorted(one.path for one in files.get_file_info(selector) if one.type == FileType.File)


def _matches(path: str, pattern: str) -> bool:
    parts, wanted = path.strip("/").split("/"), pattern.strip("/").split("/")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def _listed(name: str, places: Places) -> list[str]:
    """The files of a list, one a line; empty lines and those that begin with # are left out."""
    files, path = places.of(name)
    try:
        with files.open_input_stream(path, compression=None) as stream:
            lines = stream.read().decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError, ArrowException) as error:
        raise DataError(name, f"is no list of paths ({first_line(error)})", "write a path a line") from error
    named = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not named:
        raise DataError(name, "names no picture", "write a path a line")
    return [_beside(name, one, places) for one in named]


def _beside(name: str, path: str, places: Places) -> str:
    """What a file calls `path`: relative to itself, where it is no URI, no address and not absolute."""
    if "://" in path or path.startswith("/"):
        return places.named(path)
    return places.named(posixpath.join(posixpath.dirname(name), path))


def _of_table(name: str, places: Places) -> Iterator[Photos]:
    """The photos of a Parquet file."""
    try:
        files, path = places.of(name)
        with files.open_input_file(path) as stream, ParquetFile(stream) as table:
            kind, columns = columns_of(name, table)
            first = 0
            for group in range(table.num_row_groups):
                rows = table.metadata.row_group(group).num_rows
                paths = _paths(table, group, columns) if columns else [None] * rows
                if len(paths) != rows:
                    raise DataError(name, f"says {rows} rows and has {len(paths)}", "write it again")
                if kind is None:
                    yield Photos(tuple(_beside(name, one, places) for one in paths if one))
                else:
                    names = [_called(f"{name}#{first + row}", one, columns) for row, one in enumerate(paths)]
                    yield Photos(tuple(names), name, group, tuple(range(rows)))
                first += rows
    except FileNotFoundError as error:
        raise DataError(name, "no such file", "check the name") from error
    except UNREADABLE as error:
        raise DataError(name, f"is no Parquet file ({first_line(error)})", "give another file") from error


def _called(row: str, path: str | None, columns: list[str]) -> str:
    """A row of bytes: as its own column of paths calls it; else by its place, for paths within a column of images are
    often no more than the names of files, the same in many tables."""
    if path is None:
        return row
    return path if columns == [PATH] else f"{row}/{path}"


def columns_of(name: str, table: ParquetFile) -> tuple[str | None, list[str]]:
    """The column of bytes, as `ParquetFile` wants it named, None without one; and that of paths, in a list.

    Raises:
        DataError: there is neither.
    """
    schema = table.schema_arrow
    kinds: dict[str, Any] = {field.name: field.type for field in schema}
    path = [PATH] if PATH in kinds and _is_text(kinds[PATH]) else []
    for column in (BYTES, IMAGE):
        kind = kinds.get(column)
        if kind is None:
            continue
        if types.is_binary(kind) or types.is_large_binary(kind):
            return column, path
        if types.is_struct(kind) and kind.get_field_index(BYTES) >= 0:
            inner = kind.get_field_index(PATH) >= 0
            return f"{column}.{BYTES}", path or ([f"{column}.{PATH}"] if inner else [])
    if not path:
        raise DataError(name, f"has no photos in its columns {', '.join(kinds)}", _KINDS)
    return None, path


def _is_text(kind: Any) -> bool:
    kind = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_string(kind) or types.is_large_string(kind))


def _paths(table: ParquetFile, group: int, columns: list[str]) -> list[str | None]:
    column = table.read_row_group(group, columns=columns).column(0)
    if types.is_struct(column.type):
        return [one and one[PATH] for one in column.to_pylist()]
    found: list[str | None] = column.to_pylist()
    return found
