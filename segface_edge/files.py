"""Writing files whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import InputError


def check_place(path: Path) -> None:
    """Raises InputError where `path` could not be written: for those who would find out after long work."""
    if path.is_dir():
        raise InputError(path, "is a folder", "name a file")
    if not path.parent.is_dir():
        raise InputError(path, "cannot be written (its folder does not exist)", "make the folder, or choose another")
    if not os.access(path.parent, os.W_OK):
        raise InputError(path, "cannot be written (its folder is not writable)", "choose another place")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to; on success it takes `path`'s place, otherwise it is removed.

    Raises:
        InputError: the folder is absent or not writable, the disk is full.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    except OSError as error:
        raise _cannot_write(path, error) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        # mkstemp makes files that only their owner reads; the user's own umask is what counts.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """Writes `content` to `path`, whole or not at all. Raises InputError as `whole_file` does."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


def _cannot_write(path: Path, error: OSError) -> InputError:
    reason = (error.strerror or str(error)).lower()
    return InputError(path, f"cannot be written ({reason})", "choose another place or make room")
