"""An HTTP server that a test tells how to misbehave: ranges, redirects, breaks, silence."""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Serving:
    """What the server does, and what it was asked.

    Attributes:
        content: of the file at every address.
        status: where it is not 200, nothing but this is answered.
        breaks_at: bytes of the whole file after which connections are closed; None: never.
        silent: seconds before a byte is sent.
        ranges: whether it keeps to them.
        etag: whether it tells a sha256, as the hub does.
        redirects: whether what is asked for is elsewhere, at `location`, or here.
        asked: method and range of each request.
    """

    content: bytes = b"a model" * 30_000
    status: int = 200
    breaks_at: int | None = None
    silent: float = 0.0
    ranges: bool = True
    etag: bool = True
    redirects: int = 0
    location: str = ""
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def gets(self) -> list[str | None]:
        """The ranges that were asked for."""
        return [ranges for method, ranges in self.asked if method == "GET"]


def serve(serving: Serving) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, *, body: bool) -> None:
            serving.asked.append((self.command, self.headers.get("Range")))
            if serving.status != 200:
                self.send_response(serving.status)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if serving.redirects and "/there" not in self.path and body:
                self.send_response(302)
                self.send_header("Location", serving.location or f"{serving.url}/there")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            start = 0
            ranges = self.headers.get("Range")
            if ranges and serving.ranges:
                start = int(ranges.removeprefix("bytes=").partition("-")[0])
                if start >= len(serving.content):
                    self.send_response(416)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(serving.content) - 1}/{len(serving.content)}")
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(serving.content) - start))
            if serving.etag:
                self.send_header("X-Linked-ETag", f'"{serving.sha256}"')
                self.send_header("X-Linked-Size", str(len(serving.content)))
            self.end_headers()
            if body:
                time.sleep(serving.silent)
                end = len(serving.content) if serving.breaks_at is None else max(start, serving.breaks_at)
                self.wfile.write(serving.content[start:end])
                self.close_connection = serving.breaks_at is not None

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    serving.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return server
