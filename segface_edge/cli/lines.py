"""Files of JSON lines, one a photo or a frame: written as they come, and gone on with."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from segface_edge.errors import DataError, InputError
from segface_edge.files import write_whole


class Lines:
    """A file of JSON, a line each, whole lines at any time; `-` is standard output.

    Args:
        path: where to. What is there is replaced with the first line, or when it is closed without one.
        go_on: what is there is kept and added to.

    Raises:
        InputError: it cannot be written.
    """

    def __init__(self, path: Path, *, go_on: bool = False) -> None:
        self._path, self._mode = path, "a" if go_on else "w"
        self._file: IO[bytes] | None = None
        self._end, self._failed = 0, False

    def write(self, document: dict[str, Any]) -> None:
        """Appends a line. Raises InputError where it cannot; what was written before is kept."""
        if str(self._path) == "-":
            sys.stdout.write(json.dumps(document) + "\n")
            sys.stdout.flush()
            return
        try:
            if self._file is None:
                self._file = self._path.open(f"{self._mode}b")
                self._end = self._file.tell() if self._file.seekable() else 0
            line = (json.dumps(document) + "\n").encode()
            self._file.write(line)
            self._file.flush()
            self._end += len(line)
            if not os.fstat(self._file.fileno()).st_nlink:
                self._failed = True
                raise InputError(self._path, "was removed while it was written", "run it again, and leave it there")
        except BrokenPipeError:  # who reads it has enough
            raise
        except OSError as error:
            self._failed = True
            self._cut()
            raise InputError(
                self._path, f"cannot be written ({error.strerror})", "make room; what was done is kept"
            ) from error

    def close(self) -> None:
        """Ends the file."""
        with suppress(OSError):  # what could not be written was said before
            if self._file is not None:
                self._file.close()
            elif self._mode == "w" and not self._failed and str(self._path) != "-":
                self._path.write_bytes(b"")

    def _cut(self) -> None:
        """Takes away what there is of a line that did not fit."""
        if self._file is not None and self._path.is_file():
            with suppress(OSError):
                self._file.close()
            with suppress(OSError):
                os.truncate(self._path, self._end)
            self._file = None


def lines_by_source(path: Path) -> dict[str, str]:
    """The lines of an earlier run by the photo they are of, the last one of each; one that was cut off does not count.

    Raises:
        DataError: it holds something else.
    """
    if not path.is_file():
        return {}
    found = {}
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        for number, line in enumerate(lines[:-1], 1):  # the last one has no end
            document = json.loads(line)
            if not isinstance(document, dict) or not isinstance(document.get("source"), str):
                raise DataError(path, f"line {number} is of no photo", "name another file for --jsonl")
            found[document["source"]] = line
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(path, f"is no file of JSON lines ({error})", "name another file for --jsonl") from error
    return found


def keep_lines(path: Path, lines: list[str]) -> None:
    """Leaves these lines in the file, and no others. Raises InputError where it cannot; the file is as it was then."""
    content = "".join(f"{line}\n" for line in lines).encode()
    if path.is_file() and path.read_bytes() != content:
        write_whole(path, content)
