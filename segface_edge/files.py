"""Writing files whole or not at all; what came instead of a file; hashes; lines and numbers of text files."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import itertools
import math
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from .errors import DataError, InputError

_MOST_DIGITS = 18
_COUNTER = itertools.count()
# In the name of a hidden file, before the numbers of its process and of the file; how often another is tried.
_MARK, _TRIES = ".segface-edge-", 16
_HIDDEN = re.compile(rf"\..+{re.escape(_MARK)}\d+-\d+(\.[^.]*)?")
# Of a file's name and of its suffix, in that of the hidden one.
_NAME_BYTES, _SUFFIX_BYTES = 190, 20
# What an OSError while writing is cured by; anything else by either.
_CURES = {
    errno.ENOENT: "make the folder, or choose another",
    errno.EACCES: "choose another place, or change its permissions",
    errno.EROFS: "choose another place",
    errno.ENOSPC: "make room, or choose another place",
}
# What a download or a wrong name gives instead of a file, by its first bytes.
_INSTEAD = (
    (rb"version https://git-lfs", "a Git LFS pointer", "fetch what it points to: git lfs pull"),
    (rb"(?i)\s*<(!doctype|html)", "a web page", "download the file itself"),
    (rb"(?s).{8}\{\"", "a safetensors file", "give it the suffix .safetensors"),
    (rb"\xff\xd8\xff|\x89PNG", "a picture", "give the file that is meant"),
    (rb"PK\x03\x04", "a zip archive or a PyTorch checkpoint", "unpack it, or give it the suffix .pt"),
)


def came_instead(content: bytes, but: str = "") -> tuple[str, str] | None:
    """What the bytes of a file that cannot be read are, and the cure; None where they are nothing that is known.

    Args:
        content: its bytes, or the first of them.
        but: a kind of `_INSTEAD` that the file should be.
    """
    return next((row[1:] for row in _INSTEAD if re.match(row[0], content) and not (but and but in row[1])), None)


def sha256_of(path: Path) -> str:
    """Of a file's content, as hexadecimal digits; the file may be larger than the memory."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(2**20):
            digest.update(part)
    return digest.hexdigest()


def lines_of(path: Path, cure: str) -> list[str]:
    """Lines of a text file. Raises DataError."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else "is not a text file that can be read"
        raise DataError(path, reason, cure) from error


def number_in(text: str) -> float | None:
    """A finite number, or None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def count_in(text: str) -> int | None:
    """A whole number, 0 or more, or None; none has more digits than anything here counts, nor than Python reads."""
    return int(text) if text.isdecimal() and len(text) <= _MOST_DIGITS else None


def utf8_name(named: str | Path) -> str:
    """The name of a file or a camera for OpenCV, which may end the process over one that is no UTF-8.

    Raises:
        InputError: it is none.
    """
    try:
        str(named).encode()
    except UnicodeEncodeError as error:
        raise InputError(named, "has a name that is no UTF-8", "rename it, or its folder") from error
    return str(named)


def make_folder(path: Path) -> None:
    """Makes a folder, and those that it lies in, where they are absent.

    Raises:
        InputError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(path, f"cannot be made ({reason})", "choose another folder") from error


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
    try:
        with hidden_file(target) as temporary:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(target)
    except OSError as error:
        raise cannot_write(path, error) from error


@contextmanager
def hidden_file(target: Path) -> Iterator[Path]:
    """An empty hidden file beside `target`, which is gone in the end; and so are those that killed processes left.

    Raises:
        OSError: it cannot be made.
    """
    with _hidden(target, _make_file, Path.unlink) as temporary:
        yield temporary


@contextmanager
def hidden_folder(target: Path) -> Iterator[Path]:
    """An empty hidden folder beside `target`, likewise. Raises OSError: it cannot be made."""
    with _hidden(target, _make_folder, _remove_folder) as temporary:
        yield temporary


@contextmanager
def _hidden(target: Path, make: Callable[[Path], int], remove: Callable[[Path], object]) -> Iterator[Path]:
    """What `make` makes and opens, locked as long as this process lives: what nobody holds is taken for left over."""
    _remove_left(target)
    name, suffix = _named(target)
    for _ in range(_TRIES):
        temporary = target.with_name(f"{name}{os.getpid()}-{next(_COUNTER)}{suffix}")
        handle, ours = None, True  # also where Ctrl-C comes before its handle is known
        try:
            try:
                handle = make(temporary)
                ours = _is_held(handle, temporary)
            except FileExistsError:
                ours = False
            if ours:
                yield temporary
                return
        finally:
            if handle is not None:
                os.close(handle)
            if ours:
                with suppress(OSError):  # it took its place; or the disk has become read-only
                    remove(temporary)
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))


def _make_file(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)


def _make_folder(path: Path) -> int:
    path.mkdir()
    return os.open(path, os.O_RDONLY)


def _remove_folder(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)


def _named(target: Path) -> tuple[str, str]:
    """What stands before and behind the numbers in a hidden name, 255 bytes in all; marked as ours: users have hidden
    files too."""
    name, suffix = (
        os.fsencode(part)[:most].decode(errors="ignore")
        for part, most in ((target.name, _NAME_BYTES), (target.suffix, _SUFFIX_BYTES))
    )
    return f".{name}{_MARK}", suffix


def _remove_left(target: Path) -> None:
    """Removes what killed processes left of a file or folder. Folders of many files are listed once."""
    there = _left_in(target.parent)
    if not there:
        return
    before, behind = map(re.escape, _named(target))
    name = re.compile(rf"{before}\d+-\d+{behind}")
    for left in [one for one in there if name.fullmatch(one)]:
        with suppress(OSError):
            path = target.with_name(left)
            handle = os.open(path, os.O_RDONLY)
            try:
                if _lock(handle, path):
                    _remove_folder(path) if path.is_dir() else path.unlink()
            finally:
                os.close(handle)


@lru_cache(maxsize=64)
def _left_in(folder: Path) -> list[str]:
    """Names of hidden files of some process, as they were when this one first wrote to the folder."""
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if _HIDDEN.fullmatch(entry.name)]
    except OSError:
        return []


def _lock(handle: int, path: Path) -> bool:
    """Locks what is open from here on; false where somebody else has locked it, or has removed it from `path`.

    Raises:
        OSError: there are no locks.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(handle), path.lstat())
    except (BlockingIOError, FileNotFoundError):
        return False


def _is_held(handle: int, path: Path) -> bool:
    """As `_lock`, for who has just made it; where there are no locks, nobody removes it."""
    try:
        return _lock(handle, path)
    except OSError:
        return True


def write_whole(path: Path, content: bytes) -> None:
    """Writes `content` to `path`, whole or not at all. Raises InputError as `whole_file` does.

    A device or a pipe (`/dev/stdout`) is written to as it is, not replaced.
    """
    if path.exists() and not path.is_file():
        try:
            path.write_bytes(content)
        except OSError as error:
            raise cannot_write(path, error) from error
        return
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


def cannot_write(path: Path, error: OSError) -> InputError:
    """The error for a file that could not be written, and what mends it."""
    reason = (error.strerror or str(error)).lower()
    cure = _CURES.get(error.errno or 0, "choose another place or make room")
    return InputError(path, f"cannot be written ({reason})", cure)
