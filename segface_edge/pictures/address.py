"""Pictures at http(s) addresses: told from streams, and fetched within bounds."""

from __future__ import annotations

import http.client
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import PurePosixPath
from queue import Empty, Queue
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from segface_edge.errors import ImageError
from segface_edge.files import count_in

from .formats import suffixes

_T = TypeVar("_T")
_SCHEMES = ("http://", "https://")
# More is no photo; and who sends slowly is not waited for.
_MOST_BYTES = 256 * 2**20
_PATIENCE_S = 60.0
_SILENCE_S = 10.0
_CHUNK = 2**16
_SAFE = "%/:=&?~#+!$,;'@()*[]"
_CURE = "give the address of a picture, or fetch it by hand and give the file"


def is_address(source: str) -> bool:
    """Whether it begins as an http(s) address does."""
    return source[:8].lower().startswith(_SCHEMES)


def name_of(address: str) -> str:
    """The file's name in an address: `photo.jpg` of `https://example.com/a/photo.jpg?size=2`; `picture` without one."""
    return PurePosixPath(unquote(_split(address).path).replace("\0", "")).name or "picture"


def is_picture(address: str) -> bool:
    """Whether there is a picture at an address, and no stream: the server is asked, within seconds.

    Where it does not answer or does not say, the suffix decides. A web page is no stream: `fetch` says what it is.
    """

    def ask(_: threading.Event) -> str:
        with _open(address) as answer:
            return _kind(answer)

    try:
        kind = _in_time(address, ask, _SILENCE_S)
    except ImageError:
        kind = ""
    if kind in ("", "application/octet-stream", "binary/octet-stream"):
        return PurePosixPath(_split(address).path).suffix.lower() in suffixes()
    return bool(kind.startswith("image/") or kind == "text/html")


def fetch(address: str) -> bytes:
    """What is at an http(s) address; redirects are followed to others of the kind.

    Raises:
        ImageError: it cannot be reached or is no picture by what the server says; it has over 256 MiB, or takes over a
            minute.
    """

    def read(stop: threading.Event) -> bytes:
        parts, size = [], 0
        with _open(address) as answer:
            kind = _kind(answer)
            if kind.startswith(("text/", "video/", "audio/", "multipart/")) or kind == "application/json":
                raise ImageError(address, f"is no picture but {kind}", _CURE)
            # What has come so far, and not so many bytes, however long that takes.
            while not stop.is_set() and (part := answer.read1(_CHUNK)):
                parts.append(part)
                size += len(part)
                if size > _MOST_BYTES:
                    raise ImageError(address, f"has over {_MOST_BYTES >> 20} MiB", _CURE)
            said = answer.headers.get("Content-Length", "")
        whole = count_in(said)
        if whole is not None and size < whole and not stop.is_set():
            raise ImageError(address, f"breaks off after {size} of {said} bytes", "try again")
        return b"".join(parts)

    return _in_time(address, read, _PATIENCE_S)


def _open(address: str) -> Any:
    # Of its handlers only these: no files, no ftp, also not where a server redirects to one.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    request = urllib.request.Request(
        _quoted(address), headers={"User-Agent": "segface-edge", "Accept": "image/*, */*;q=0.5"}
    )
    return opener.open(request, timeout=_SILENCE_S)


def _kind(answer: Any) -> str:
    """What the server calls it; empty where it does not say."""
    return str(answer.headers.get_content_type()) if "Content-Type" in answer.headers else ""


def _in_time(address: str, work: Callable[[threading.Event], _T], patience: float) -> _T:
    """What `work` gives, in a thread that is left to itself when it takes too long: a socket's own timeout begins anew
    with every byte."""
    done: Queue[_T | Exception] = Queue()
    stop = threading.Event()

    def run() -> None:
        try:
            done.put(work(stop))
        except (ImageError, OSError, http.client.HTTPException, ValueError) as error:  # URLError is an OSError
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            done.put(error)

    threading.Thread(target=run, name=f"fetching {address}", daemon=True).start()
    try:
        result = done.get(timeout=patience)
    except Empty:
        stop.set()
        raise ImageError(address, f"takes over {patience:g} s", _CURE) from None
    if isinstance(result, ImageError):
        raise result
    if isinstance(result, Exception):
        raise ImageError(
            address, f"cannot be fetched ({_reason(result)})", "check the address and the network"
        ) from result
    return result


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason}"
    return str(getattr(error, "reason", None) or error)


def _quoted(address: str) -> str:
    """With what browsers take and servers do not: spaces, letters that are not ASCII."""
    parts = _split(address)
    return str(urlunsplit(parts._replace(path=quote(parts.path, _SAFE), query=quote(parts.query, _SAFE), fragment="")))


def _split(address: str) -> Any:
    try:
        return urlsplit(address)
    except ValueError:  # brackets that are no IPv6 address
        return urlsplit("")
