"""Files of JSON lines, one a photo or a frame."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from segface_edge.errors import DataError, InputError


class Lines:
    """A file of JSON, a line each, which takes its place when it is closed, with what was written so far; `-` is
    standard output, and a pipe is written to as it is.

    Args:
        path: where to.
        keep: lines that it begins with, as they are.

    Raises:
        InputError: it cannot be written.
    """

    def __init__(self, path: Path, keep: list[str] | None = None) -> None:
        self._path, self._target, self._part = path, path.resolve(), None
        try:
            if str(path) == "-":
                self._file: IO[str] = sys.stdout
            elif path.exists() and not path.is_file():
                self._file = path.open("w", encoding="utf-8")
            else:
                self._part = self._target.with_name(f".{path.name[:150]}.{os.getpid()}.part")
                self._file = self._part.open("w", encoding="utf-8")
                self._file.writelines(f"{line}\n" for line in keep or ())
        except OSError as error:
            raise InputError(path, f"cannot be written ({error.strerror})", "choose another place") from error

    def write(self, document: dict[str, Any]) -> None:
        """Appends a line. Raises InputError where it cannot."""
        try:
            self._file.write(json.dumps(document) + "\n")
            self._file.flush()
        except OSError as error:
            raise InputError(
                self._path, f"cannot be written ({error.strerror})", "make room; what was done is kept"
            ) from error

    def close(self) -> None:
        """Puts the file in its place."""
        if self._file is not sys.stdout:
            with suppress(OSError):  # what could not be written was said before
                self._file.close()
        if self._part is not None and self._part.exists():
            self._part.replace(self._target)

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def lines_by_source(path: Path) -> dict[str, str]:
    """The lines of an earlier run by the photo they are of; the last one of each.

    Raises:
        DataError: it holds something else.
    """
    if str(path) == "-" or not path.is_file():
        return {}
    found = {}
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            document = json.loads(line)
            if not isinstance(document, dict) or not isinstance(document.get("source"), str):
                raise DataError(path, f"line {number} is of no photo", "name another file for --jsonl")
            found[document["source"]] = line
    except (OSError, ValueError) as error:
        raise DataError(path, f"is no file of JSON lines ({error})", "name another file for --jsonl") from error
    return found
