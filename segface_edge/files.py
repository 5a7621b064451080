"""Writing files whole or not at all."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import InputError

_COUNTER = itertools.count()


def check_place(path: Path) -> None:
    """Raises InputError where `path` could not be written: for those who would find out after long work."""
    if path.is_dir():
        raise InputError(path, "is a folder", "name a file")
    if not path.parent.is_dir():
        raise InputError(path, "cannot be written (its folder does not exist)", "make the folder, or choose another")
    if path.exists() and not path.is_file():
        return  # a device or a pipe
    if not os.access(path.parent, os.W_OK):
        raise InputError(path, "cannot be written (its folder is not writable)", "choose another place")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to; on success it takes `path`'s place, otherwise it is removed.

    Raises:
        InputError: the folder is absent or not writable, the disk is full.
    """
    target = path.resolve()  # a link stays a link, and what it leads to is replaced
    temporary = target.with_name(f".{target.name[:200]}.{os.getpid()}-{next(_COUNTER)}{target.suffix[:20]}")
    try:
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """Writes `content` to `path`, whole or not at all. Raises InputError as `whole_file` does.

    A device or a pipe (`/dev/stdout`) is written to as it is, not replaced.
    """
    if path.exists() and not path.is_file():
        try:
            path.write_bytes(content)
        except OSError as error:
            raise _cannot_write(path, error) from error
        return
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


def _cannot_write(path: Path, error: OSError) -> InputError:
    reason = (error.strerror or str(error)).lower()
    return InputError(path, f"cannot be written ({reason})", "choose another place or make room")
