"""`serve`: requests and messages as its application gets them, bytes as its connections do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from uvicorn.server import ServerState

from segface_edge import FaceParser
from segface_edge.engines import FakeEngine, Output
from segface_edge.serving.app import make_app
from segface_edge.serving.connections import HttpConnection
from segface_edge.serving.metrics import Metrics
from segface_edge.serving.server import server_of
from segface_edge.serving.settings import Settings
from segface_edge.serving.sharing import SharedEngine
from tests.fuzz.mutate import changed_bytes, changed_document, changed_json

from .pictures import portrait, saved

_STATUS = {200, 307, 400, 401, 403, 404, 405, 406, 408, 413, 415, 421, 422, 426, 431, 499, 501, 503, 504}
_PATHS = (
    "/v1/parse",
    "/v1/parse",
    "/v1/parse",
    "/v2/models/segface/infer",
    "/v2/models/segface/infer",
    "/v2",
    "/",
    "/healthz",
    "/metrics",
    "/openapi.json",
    "/v2/models/segface",
    "/v2/models/x/versions/1/ready",
    "/v1/live",
    "/nothing",
    "/page/../x",
    "/%00",
    "/v2/models/%ff/infer",
    "//",
)
_QUERIES = (
    "",
    "output=json",
    "output=mask",
    "output=overlay&alpha=0.3",
    "output=coco",
    "output=cutout&classes=skin",
    "order=lapa",
    "output=color",
    "alpha=nan",
    "alpha=1e999",
    "classes=,,,",
    "output=%00",
    "order=%ff",
    "x=1",
    "alpha",
    "output=json&output=mask",
    "classes=skin&order=celebamask-hq",
    "alpha=-0",
    "=",
    "&&&",
    "a" * 500,
)
_HEADERS = (
    (
        b"accept",
        (
            b"*/*",
            b"image/png",
            b"image/webp;q=nan",
            b"text/html",
            b"",
            b"image/*;q=0.5,application/json;q=1e9",
            b";;;,,,",
            b"image/jpeg;q=-1",
            b"a" * 999,
        ),
    ),
    (
        b"content-type",
        (
            b"image/jpeg",
            b"multipart/form-data; boundary=x",
            b"multipart/form-data",
            b"application/json",
            b"",
            b"multipart/form-data; boundary=",
            b"multipart/form-data; boundary=\xff",
            b"text/plain; charset=x",
        ),
    ),
    (b"content-encoding", (b"gzip", b"identity", b"")),
    (b"content-length", (b"0", b"-1", b"99999999999999999999", b"x", "²".encode(), b"12")),
    (b"inference-header-content-length", (b"0", b"10", b"-1", b"9" * 30, b"x", "²".encode("latin-1"))),
    (
        b"host",
        (b"localhost:1", b"evil.example", b"[::1", b"localhost:99999999", b"\xff", b"", b"[::1]:80", b"127.0.0.1."),
    ),
    (b"origin", (b"http://localhost:1", b"null", b"http://[", b"https://evil.example", b"\xff")),
    (b"authorization", (b"Bearer secret-token", b"Bearer ", b"Basic x", b"Bearer \xff\xfe")),
    (b"sec-websocket-protocol", (b"segface-edge.live", b"segface-edge.token.AAA", b"segface-edge.token.\xff=", b",,")),
)


class RedEngine(FakeEngine):
    """Labels are what the frame's red is, in sixteenths."""

    def __init__(self) -> None:
        super().__init__(np.zeros((32, 32)))

    def run(self, frames: np.ndarray) -> Output:
        return Output(frames[..., 0] // 16)


def _form(*files: bytes) -> bytes:
    parts = [
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
        + content
        + b"\r\n"
        for content in files
    ]
    return b"".join(parts) + b"--x--\r\n"


class Fuzz:
    def __init__(self, folder: Path, argument: str) -> None:  # noqa: ARG002
        metrics = Metrics()
        self.settings = Settings(max_body=200_000, timeout=8.0)
        shared = SharedEngine(RedEngine(), batch=4, window=0.0)
        self.app = make_app(FaceParser(shared, locate="whole", max_pixels=1_000_000), shared, self.settings, metrics)
        self.config = server_of(self.app, self.settings).config
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        photos = [saved(portrait((24, 20)), kind) for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP")]
        frames = np.zeros((1, 32, 32, 3), np.uint8).tobytes()
        self.question: dict[str, Any] = {
            "id": "1",
            "inputs": [
                {
                    "name": "frames",
                    "datatype": "UINT8",
                    "shape": [1, 32, 32, 3],
                    "parameters": {"binary_data_size": len(frames)},
                }
            ],
            "outputs": [{"name": "labels", "parameters": {"binary_data": True}}],
            "parameters": {"binary_data_output": False},
        }
        small = {"inputs": [{"name": "frames", "datatype": "UINT8", "shape": [1, 2, 2, 3], "data": [1] * 12}]}
        self.questions = [self.question, small]
        self.frames, self.photos = frames, photos
        self.bodies = [*photos, _form(photos[0]), _form(*photos), b""]
        self.wires = [
            b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"POST /v1/parse HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(photos[1]) + photos[1],
            b"POST /v1/parse HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            b"GET /v1/live HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        ]
        self.config.load()
        self.state = ServerState()
        self.make: Callable[[Random], Any] = getattr(self, f"_make_{argument}")
        self.run: Callable[[Any], None] = lambda given: self.loop.run_until_complete(
            getattr(self, f"_{argument}")(given)
        )

    # Requests.

    def _make_http(self, random: Random) -> tuple[dict[str, Any], list[bytes]]:
        path, query = random.choice(_PATHS), random.choice(_QUERIES)
        headers = [(b"host", b"localhost:1")] if random.random() > 0.05 else []
        for name, values in _HEADERS:
            if random.random() < 0.12:
                content = random.choice(values)
                headers.append((name, content if random.random() > 0.2 else changed_bytes(random, content)))
        body = random.choice(self.bodies)
        if body.startswith(b"--x") and random.random() < 0.8:
            headers.append((b"content-type", b"multipart/form-data; boundary=x"))
        if "infer" in path:
            document = random.choice(self.questions)
            head = changed_json(random, document).encode(errors="replace")
            if random.random() < 0.3:  # sound but for one number
                head = json.dumps(changed_document(random, document)).encode()
            body = head
            if document is self.question:
                headers.append((b"inference-header-content-length", str(len(head)).encode()))
                body += self.frames
        if random.random() < 0.4:
            body = changed_bytes(random, body, self.bodies)
        if path == "/v1/parse" and random.random() < 0.5:
            query = ""
        method = "POST" if random.random() < 0.75 else random.choice(("GET", "HEAD", "PUT", "OPTIONS", "X"))
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "scheme": "http",
            "query_string": query.encode("latin-1"),
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
            "extensions": {},
        }
        cut = sorted(random.randrange(len(body) + 1) for _ in range(random.choice((0, 0, 1, 3))))
        parts = [body[a:b] for a, b in zip([0, *cut], [*cut, len(body)], strict=True)]
        return scope, parts if random.random() > 0.03 else parts[:-1]

    async def _http(self, given: tuple[dict[str, Any], list[bytes]]) -> None:
        scope, parts = given
        waiting = [
            {"type": "http.request", "body": part, "more_body": i + 1 < len(parts)} for i, part in enumerate(parts)
        ]
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            if waiting:
                return waiting.pop(0)
            if parts and not sent:
                await asyncio.sleep(30)
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app({**scope, "headers": [(name, value) for name, value in scope["headers"]]}, receive, send)  # type: ignore[arg-type]
        status = sent[0]["status"]
        assert status in _STATUS, f"status {status} of {scope['path']}"
        body = b"".join(message.get("body", b"") for message in sent[1:])
        if status >= 400 and body and scope["method"] != "HEAD":
            assert set(json.loads(body)) == {"error"}, body
        assert not sent[-1].get("more_body")

    # Messages of a WebSocket.

    def _make_websocket(self, random: Random) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = []
        for number in range(1 + random.randrange(3)):
            chance = random.random()
            if chance < 0.1:
                messages.append({"type": "websocket.receive", "text": random.choice(("", "x", "{}", "\x00", "é" * 9))})
            elif chance < 0.2:
                messages.append({"type": "websocket.receive", "bytes": random.randbytes(random.randrange(9))})
            else:
                photo = random.choice(self.photos)
                photo = changed_bytes(random, photo, self.photos) if random.random() < 0.8 else photo
                messages.append({"type": "websocket.receive", "bytes": number.to_bytes(4, "little") + photo})
        return messages

    async def _websocket(self, given: list[dict[str, Any]]) -> None:
        waiting = [{"type": "websocket.connect"}, *given]
        sent: list[dict[str, Any]] = []
        answered = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if len(waiting) > 0:
                return waiting.pop(0)
            # It may have answered only the newest: the last one is always answered.
            while sum(message["type"] == "websocket.send" for message in sent) < 2:
                answered.clear()
                await answered.wait()
            return {"type": "websocket.disconnect", "code": 1000}

        async def send(message: Any) -> None:
            sent.append(message)
            answered.set()

        scope = {
            "type": "websocket",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "path": "/v1/live",
            "root_path": "",
            "raw_path": b"/v1/live",
            "scheme": "ws",
            "query_string": b"",
            "headers": [(b"host", b"localhost:1")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
            "subprotocols": [],
            "extensions": {},
        }
        await self.app(scope, receive, send)  # type: ignore[arg-type]
        kinds = {message["type"] for message in sent}
        assert kinds == {"websocket.accept", "websocket.send"}, kinds

    # Bytes.

    def _make_wire(self, random: Random) -> list[bytes]:
        content = random.choice(self.wires)
        if random.random() < 0.3:
            content += random.choice(self.wires)
        content = changed_bytes(random, content, self.wires)
        cut = sorted(random.randrange(len(content) + 1) for _ in range(random.choice((0, 1, 2))))
        return [content[a:b] for a, b in zip([0, *cut], [*cut, len(content)], strict=True) if a < b]

    async def _wire(self, given: list[bytes]) -> None:
        wire = _Wire()
        connection: Any = HttpConnection(config=self.config, server_state=self.state, app_state={}, _loop=self.loop)
        connection.connection_made(wire)
        for part in given:
            if wire.closed:
                break
            wire.protocol.data_received(part) if wire.protocol else connection.data_received(part)
            await asyncio.sleep(0)
        protocol = wire.protocol or connection
        if not wire.closed:
            protocol.eof_received()
        protocol.connection_lost(None)
        for task in list(self.state.tasks):
            await asyncio.wait([task], timeout=9)
            assert task.done(), "a request does not end"
        written = bytes(wire.written)
        assert not written or written.startswith(b"HTTP/1.1 "), written[:80]
        assert b" 500 " not in written[:20], written[:200]


class _Wire(asyncio.Transport):
    """Nobody's."""

    def __init__(self) -> None:
        super().__init__({"sockname": ("127.0.0.1", 1), "peername": ("127.0.0.1", 2)})
        self.written, self.closed, self.protocol = bytearray(), False, None

    def write(self, data: Any) -> None:
        self.written += data

    def write_eof(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def get_protocol(self) -> Any:
        return self.protocol

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def is_reading(self) -> bool:
        return True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass
