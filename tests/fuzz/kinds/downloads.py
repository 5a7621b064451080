"""What servers answer: to `models fetch`, and where a photo is an address."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from segface_edge.pictures import address
from segface_edge.pictures.reading import load
from tests.fuzz.mutate import changed_bytes

from .pictures import portrait, saved

_MODEL = b"a model" * 300
_HEADERS = (
    b"Content-Length: 2100",
    b"Content-Length: 7",
    b"Content-Length: -1",
    b"Content-Length: 99999999999999999999",
    b"Content-Length: x",
    b"Content-Type: image/png",
    b"Content-Type: text/html; charset=\xff",
    b"Content-Type: ;;",
    b"Content-Encoding: gzip",
    b"Transfer-Encoding: chunked",
    b"Content-Range: bytes 0-9/10",
    b"X-Linked-Size: 2100",
    b"X-Linked-Size: 99",
    b'X-Linked-ETag: "' + b"0" * 64 + b'"',
    b"Location: http://127.0.0.1:1/",
    b"Location: file:///etc",
    b"Location: http://[",
    b"Connection: close",
    b"no colon",
    b": x",
    b"X: " + b"y" * 70_000,
)
_STATUS = (200, 200, 200, 200, 206, 204, 301, 302, 304, 404, 416, 429, 500, 999, 99)


class _Server(threading.Thread):
    """Answers every request with `answer`, and hangs up."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}/photo.png"
        self.answer = b""
        self.start()

    def run(self) -> None:
        while True:
            connection, _ = self.listening.accept()
            try:
                connection.settimeout(5)
                connection.recv(65536)
                connection.sendall(self.answer)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1)
            except OSError:
                pass
            finally:
                connection.close()


class Fuzz:
    def __init__(self, folder: Path, argument: str) -> None:
        self.server = _Server()
        self.content = _MODEL if argument == "models" else saved(portrait((20, 20)), "PNG")
        self.part = folder / "model.part"
        self.run: Callable[[tuple[bytes, bytes | None]], None] = getattr(self, f"_{argument}")

    def make(self, random: Random) -> tuple[bytes, bytes | None]:
        lines = [b"HTTP/1.1 %d X" % random.choice(_STATUS)]
        if random.random() < 0.6:
            lines.append(b"Content-Length: %d" % len(self.content))
        lines += random.sample(_HEADERS, random.choice((0, 1, 1, 2, 3)))
        body = self.content if random.random() < 0.7 else changed_bytes(random, self.content)
        whole = b"\r\n".join(lines) + b"\r\n\r\n" + body
        if random.random() < 0.4:
            whole = changed_bytes(random, whole)
        return whole, random.choice((None, None, b"", self.content[:50], self.content, self.content + b"x"))

    def _photos(self, given: tuple[bytes, Any]) -> None:
        self.server.answer, _ = given
        address.is_picture(self.server.url)
        load(self.server.url, max_pixels=1_000_000)

    def _models(self, given: tuple[bytes, bytes | None]) -> None:
        from segface_edge.zoo.download import ask, download

        self.server.answer, there = given
        self.part.unlink(missing_ok=True)
        if there is not None:
            self.part.write_bytes(there)
        told = ask(self.server.url)
        size = told.size if told.size is not None and told.size < 10**6 else None
        download(self.server.url, self.part, size=size, advance=lambda _: None)
