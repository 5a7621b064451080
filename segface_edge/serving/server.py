"""The server: a port, signals, and answers until the end."""

from __future__ import annotations

import errno
import logging
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from segface_edge.errors import InputError

from .connections import HEAD_BYTES, HttpConnection, LiveConnection
from .settings import Settings

_BACKLOG = 2048
_CURES = {
    errno.EADDRINUSE: "end what has it, or choose another: --port 8001",
    errno.EACCES: "choose a port from 1024 on: --port 8000",
    errno.EADDRNOTAVAIL: "give an address of this machine: --host 127.0.0.1, or 0.0.0.0 for all of them",
}


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Args:
        host: a name or an address of this machine.
        port: 0 takes one that is free.

    Raises:
        InputError: it cannot be had, and why.
    """
    where = f"{host}:{port}"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise InputError(where, f"there is no such host ({error})", "give an address of this machine") from error
    family, kind, protocol, _, address = found[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        problem = f"cannot be listened at ({(error.strerror or str(error)).lower()})"
        raise InputError(where, problem, _CURES.get(error.errno or 0, "choose another --host or --port")) from error
    return listening


def address_of(listening: socket.socket) -> str:
    """Where a browser finds it."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(listening: socket.socket) -> bool:
    """Whether only this machine reaches it."""
    return ip_address(listening.getsockname()[0].partition("%")[0]).is_loopback


class Server(uvicorn.Server):
    """uvicorn's, which raises the signal again that ended it; this one tells.

    Attributes:
        stopped_by: the signal's number, 0 without one.
    """

    stopped_by = 0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Of uvicorn: begins to end; a second Ctrl-C waits for nothing."""
        self.stopped_by = self.stopped_by or sig
        super().handle_exit(sig, frame)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Of uvicorn: takes SIGTERM and Ctrl-C as long as it is entered; only a main thread can."""
        handled = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
        before = {number: signal.signal(number, self.handle_exit) for number in handled}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def server_of(app: ASGIApp, settings: Settings) -> Server:
    """A server, not running yet: `run([bind(…)])` answers until it is stopped."""
    # What a client does wrong it is told; a line for each would be theirs to fill a disk with.
    for name in ("uvicorn.error", "python_multipart"):
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("uvicorn.error").addFilter(_is_ours)
    config = uvicorn.Config(
        app,
        http=HttpConnection,
        ws=LiveConnection,
        ws_max_size=settings.max_body,
        ws_per_message_deflate=False,  # pictures are compressed already
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        h11_max_incomplete_event_size=HEAD_BYTES,
        timeout_graceful_shutdown=int(settings.timeout) + 1,
    )
    return Server(config)


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether it is no fault of a client that asked for a WebSocket and broke it before it was made."""
    return "without completing handshake" not in record.getMessage()


def serve(app: ASGIApp, listening: socket.socket, settings: Settings) -> int:
    """Answers until SIGTERM or Ctrl-C; what is in work then is answered still, for as long as a request may take.

    Returns:
        the signal's number; 0 where none came.
    """
    server = server_of(app, settings)
    server.run([listening])
    return server.stopped_by
