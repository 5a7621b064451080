"""A file from an address into a file here, from the byte on that it has: through requests.

What else was weighed: pooch (on requests, without ranges: it starts each file anew), huggingface_hub (`hf_hub_download`
starts anew in a new process; its `http_get` goes on, but keeps 10 MB at a time, and its ten packages are 28 MB).
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import requests

from segface_edge.cache import ENVIRONMENT
from segface_edge.errors import InputError
from segface_edge.files import cannot_write, count_in

_TIMEOUT_S = 30.0
# What a break can lose of what came.
_CHUNK = 2**14
_CURE = "check the network and run it again, or fetch it by hand: --from DIR"
_PARTIAL, _RANGE_NOT_SATISFIABLE = 206, 416
# Bytes as they are: a range of a compressed answer is none of the file.
_PLAIN = {"Accept-Encoding": "identity"}
# What requests raises; ValueError where a server redirects to what is no address.
_FAILURES = (requests.RequestException, ValueError)


@dataclass(frozen=True)
class Told:
    """What a server says of a file before it is fetched; None where it says nothing."""

    size: int | None
    sha256: str | None


def ask(url: str) -> Told:
    """What Hugging Face's hub says of one of its large files.

    Raises:
        InputError: it does not answer, or not with a file.
    """
    try:
        # Where it is stored, a redirect away, nobody knows these.
        answer = requests.head(url, headers=_PLAIN, timeout=_TIMEOUT_S, allow_redirects=False)
        answer.raise_for_status()
    except _FAILURES as error:
        raise InputError(url, f"cannot be fetched ({_reason(error)})", _CURE) from error
    size, etag = answer.headers.get("X-Linked-Size", ""), answer.headers.get("X-Linked-ETag", "").strip('"')
    return Told(count_in(size), etag if re.fullmatch("[0-9a-f]{64}", etag) else None)


def download(url: str, part: Path, *, size: int | None, advance: Callable[[int], None]) -> None:
    """Adds to `part` what it lacks; as long as something comes, a connection that breaks is made anew.

    Args:
        url: where the file is.
        part: the file; what it holds already stays, and stays also where an error is raised.
        size: of the whole file, None where it is not known.
        advance: told bytes that came.

    Raises:
        InputError: it cannot be fetched, is longer than it should be, or there is no room.
    """
    had = _size(part)
    if size is not None and had > size:
        part.unlink()
        had = 0
    room = shutil.disk_usage(part.parent).free
    if size is not None and size - had > room:
        raise InputError(
            part.parent,
            f"has room for {room / 1e6:.0f} MB, and {(size - had) / 1e6:.0f} MB are to come",
            f"make room, or set {ENVIRONMENT} to another folder",
        )
    while size is None or had < size:
        try:
            _go_on(url, part, had, size, advance)
            return
        except _FAILURES as error:
            response = getattr(error, "response", None)
            if response is not None and response.status_code == _RANGE_NOT_SATISFIABLE:
                part.unlink()  # it is longer than what is there now
            kept = _size(part)
            if kept <= had or response is not None:
                of = "" if size is None else f" of {size}"
                state = f"; {kept}{of} bytes are kept, the next try goes on there" if kept else ""
                raise InputError(url, f"cannot be fetched ({_reason(error)}{state})", _CURE) from error
            had = kept
        except OSError as error:
            raise cannot_write(part, error) from error


def _go_on(url: str, part: Path, had: int, size: int | None, advance: Callable[[int], None]) -> None:
    headers = _PLAIN | ({"Range": f"bytes={had}-"} if had else {})
    with requests.get(url, headers=headers, timeout=_TIMEOUT_S, stream=True) as answer, part.open("ab") as file:
        answer.raise_for_status()
        if answer.status_code != _PARTIAL:  # the whole file, whatever was asked for
            file.truncate(0)
            had = 0
        length = answer.headers.get("Content-Length", "")
        coming = count_in(length)
        whole = size or (None if coming is None else had + coming)
        for chunk in answer.iter_content(_CHUNK):
            had += len(chunk)
            if whole is not None and had > whole:
                part.unlink()
                raise InputError(url, f"is longer than {whole} bytes, which it should be", _CURE)
            file.write(chunk)
            advance(len(chunk))
    if whole is not None and had < whole:
        raise requests.ConnectionError("the connection was closed")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _reason(error: Exception) -> str:
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP {response.status_code}"
    # Theirs say it in the words of three libraries, the innermost last.
    inner: BaseException = error
    while inner.args and isinstance(inner.args[-1], BaseException):
        inner = inner.args[-1]
    return f"{getattr(inner, 'reason', inner)}".rpartition(": ")[2] or type(error).__name__
