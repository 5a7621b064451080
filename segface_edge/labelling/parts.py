"""A folder of results: Parquet files, each written whole; what is in them is done."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import pyarrow as pa
from pyarrow import ArrowException
from pyarrow.fs import FileSelector, FileType
from pyarrow.parquet import ParquetFile, write_table

from segface_edge.documents import MAX_JSON
from segface_edge.errors import DataError, InputError
from segface_edge.files import make_folder, write_whole

from .locking import locked
from .places import UNREADABLE, Places, first_line, is_uri

MANIFEST = "manifest.json"
_NAME = re.compile(r"part-\d{6,}\.parquet")
# Of rows that wait for their part; masks of large photos are large.
_MOST_BYTES = 128 * 2**20
# Where what is put is there whole or not at all.
_OBJECTS = ("s3", "gcs", "abfs")


class Parts:
    """The results in a folder, and those that wait to be written there.

    Leaving the context writes what waits, also when Ctrl-C ends it.

    Args:
        folder: its name, see `Places.named`. It is made when the context is entered.
        places: opens it.
        rows: of a part.
    """

    def __init__(self, folder: str, places: Places, *, rows: int) -> None:
        self._folder, self._rows = folder, rows
        self._files, self._path = places.of(folder)
        self._is_local = not is_uri(folder)
        self._waiting: list[pa.Table] = []
        self._next = self.written = 0
        self._stack = ExitStack()

    def done(self) -> set[str]:
        """The paths of all rows that are there.

        Raises:
            DataError: a part cannot be read, or has a path that another has too.
        """
        found: set[str] = set()
        for name in self._names():
            try:
                with self._files.open_input_file(f"{self._path}/{name}") as file, ParquetFile(file) as part:
                    paths = part.read(columns=["path"]).column("path").to_pylist()
            except UNREADABLE as error:
                cure = "take it away: its photos are labelled again then"
                raise DataError(f"{self._folder}/{name}", f"is no part ({first_line(error)})", cure) from error
            rows = len(found) + len(paths)
            found.update(paths)
            if len(found) != rows:
                cure = "take it away: what is in no other part is labelled again then"
                raise DataError(f"{self._folder}/{name}", "has rows that are in another part", cure)
        return found

    def are_there(self) -> bool:
        """Whether there are any."""
        return bool(self._names())

    def read(self, name: str) -> bytes | None:
        """A document beside the parts; None where it is not there. Raises InputError where it cannot be read."""
        try:
            with self._files.open_input_stream(f"{self._path}/{name}", compression=None) as file:
                content: bytes = file.read(MAX_JSON + 1)
        except FileNotFoundError:
            return None
        except (OSError, ArrowException) as error:
            raise InputError(f"{self._folder}/{name}", f"cannot be read ({first_line(error)})", "mend it") from error
        if len(content) > MAX_JSON:
            raise InputError(f"{self._folder}/{name}", f"is larger than {MAX_JSON // 2**20} MiB", "mend it")
        return content

    def write(self, name: str, content: bytes) -> None:
        """Writes a file, whole or not at all. Raises InputError where it cannot."""
        path = f"{self._path}/{name}"
        if self._is_local:
            write_whole(Path(path), content)
            return
        try:
            if self._files.type_name in _OBJECTS:
                self._put(path, content)
            else:
                hidden = f"{self._path}/.{name}"
                self._put(hidden, content)
                self._files.move(hidden, path)
        except (OSError, ArrowException) as error:
            cure = "check the name and the credentials; the same command goes on"
            raise InputError(f"{self._folder}/{name}", f"cannot be written ({first_line(error)})", cure) from error

    def add(self, rows: pa.Table) -> None:
        """Takes rows, and writes a part where there are enough. Raises InputError where it cannot."""
        self._waiting.append(rows)
        while sum(map(len, self._waiting)) >= self._rows:
            self._flush(self._rows)
        if sum(table.nbytes for table in self._waiting) > _MOST_BYTES:
            self._flush()

    def __enter__(self) -> Parts:
        """Raises InputError: the folder cannot be made, or another run writes to it."""
        with ExitStack() as stack:
            if self._is_local:
                make_folder(Path(self._path))
                stack.enter_context(locked(Path(self._path)))
                for left in Path(self._path).glob(".part-*.parquet"):  # of a run that was killed while it wrote
                    left.unlink(missing_ok=True)
            else:
                try:
                    self._files.create_dir(self._path)
                except (OSError, ArrowException) as error:
                    cure = "check the name and the credentials"
                    raise InputError(self._folder, f"cannot be made ({first_line(error)})", cure) from error
            self._next = max((int(name[len("part-") : -len(".parquet")]) + 1 for name in self._names()), default=0)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            self._flush()

    def _flush(self, rows: int | None = None) -> None:
        """Writes so many of the rows that wait as a part; None: all of them."""
        if not self._waiting:
            return
        table = pa.concat_tables(self._waiting)
        buffer = pa.BufferOutputStream()
        write_table(table.slice(0, rows), buffer, compression="zstd")
        # Ctrl-C between these lines writes the same rows under the same name again.
        self.write(f"part-{self._next:06}.parquet", buffer.getvalue().to_pybytes())
        rest = table.slice(rows) if rows is not None and rows < len(table) else None
        self._waiting = [] if rest is None else [rest]
        self._next, self.written = self._next + 1, self.written + 1

    def _put(self, path: str, content: bytes) -> None:
        with self._files.open_output_stream(path, compression=None) as stream:
            stream.write(content)

    def _names(self) -> list[str]:
        """The parts, in their order."""
        try:
            listed = self._files.get_file_info(FileSelector(self._path, allow_not_found=True))
        except (OSError, ArrowException) as error:
            cure = "check the name and the credentials"
            raise InputError(self._folder, f"cannot be listed ({first_line(error)})", cure) from error
        return sorted(one.base_name for one in listed if one.type == FileType.File and _NAME.fullmatch(one.base_name))
