"""One run at a time in a local folder, also when the one before was killed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from segface_edge.errors import InputError
from segface_edge.files import cannot_write

_NAME = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """The folder's, until this process leaves or ends, however it ends.

    Raises:
        InputError: another process has it, or its file cannot be made.
    """
    import fcntl  # Linux and macOS

    path = folder / _NAME
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            cure = "wait for it, or name another folder"
            raise InputError(folder, "is being written to by another run", cure) from error
        yield
    finally:
        os.close(file)
