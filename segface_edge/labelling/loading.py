"""Photos' bytes, one after another; what cannot be read is said and ends nothing."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pyarrow import ArrowException
from pyarrow.parquet import ParquetFile

from segface_edge.errors import DataError, ImageError, SegFaceEdgeError
from segface_edge.pictures.address import fetch, is_address

from .photos import BYTES, Photos, columns_of
from .places import UNREADABLE, Places, first_line, is_uri

# A photo of the largest allowed size, uncompressed; more is not a photo.
MOST_BYTES = 512 * 2**20
# Rows of a Parquet file in memory, besides what it keeps compressed of their row group.
_ROWS = 8


@dataclass(frozen=True)
class Loaded:
    """A photo's file.

    Attributes:
        name: of the photo.
        content: its bytes; empty where they cannot be had.
        sha256: of them, as hexadecimal digits.
        error: why they cannot be had.
    """

    name: str
    content: bytes = b""
    sha256: str | None = None
    error: SegFaceEdgeError | None = None


def load(photos: Iterable[Photos], places: Places) -> Iterator[Loaded]:
    """In their order."""
    for some in photos:
        if some.table:
            yield from _of_table(some, places)
        else:
            for name in some.names:
                try:
                    yield _loaded(name, _read(name, places))
                except SegFaceEdgeError as error:
                    yield Loaded(name, error=error)


def _read(name: str, places: Places) -> bytes:
    if is_address(name):
        return fetch(name)
    try:
        if not is_uri(name):
            about = Path(name).stat()
            if not stat.S_ISREG(about.st_mode):  # a pipe would be waited for
                raise ImageError(name, "is no file", "give the path of a picture")
            _check(name, about.st_size)
            return Path(name).read_bytes()
        files, path = places.of(name)
        with files.open_input_stream(path, compression=None) as stream:
            content: bytes = stream.read(MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise ImageError(name, "no such file or directory", "give the path of a picture") from error
    except (OSError, ValueError, ArrowException) as error:  # ValueError: a zero byte in the path
        problem = getattr(error, "strerror", None) or first_line(error)
        raise ImageError(name, f"cannot be read ({problem.lower()})", "give the path of a picture") from error
    _check(name, len(content))
    return content


def _check(name: str, size: int) -> None:
    if size > MOST_BYTES:
        raise ImageError(name, f"has over {MOST_BYTES >> 20} MiB", "give a picture")


def _of_table(photos: Photos, places: Places) -> Iterator[Loaded]:
    """Rows of one row group, few at a time."""
    wanted = dict(zip(photos.rows, photos.names, strict=True))
    files, path = places.of(photos.table)
    try:
        with files.open_input_file(path) as stream, ParquetFile(stream) as table:
            column, _ = columns_of(photos.table, table)
            batches = table.iter_batches(batch_size=_ROWS, row_groups=[photos.group], columns=[column])
            for row, value in enumerate(value for batch in batches for value in batch.column(0)):
                if row in wanted:
                    content = value.as_py()
                    yield _given(wanted[row], content[BYTES] if isinstance(content, dict) else content)
    except UNREADABLE as error:
        cure = "mend it; the same command goes on then"
        raise DataError(photos.table, f"cannot be read any more ({first_line(error)})", cure) from error


def _given(name: str, content: bytes | None) -> Loaded:
    if content is None:
        return Loaded(name, error=ImageError(name, "has no bytes in its row", "leave the row out"))
    if len(content) > MOST_BYTES:
        return Loaded(name, error=ImageError(name, f"has over {MOST_BYTES >> 20} MiB", "give a picture"))
    return _loaded(name, content)


def _loaded(name: str, content: bytes) -> Loaded:
    return Loaded(name, content, hashlib.sha256(content).hexdigest())
