"""A server in a thread of its own, as `segface-edge serve` runs it."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

for _package in ("starlette", "uvicorn", "websockets", "python_multipart", "prometheus_client", "httpx"):
    pytest.importorskip(_package, reason="serving needs the extra serve, its tests httpx")

import httpx

from segface_edge import FaceParser
from segface_edge.engines import Engine, FakeEngine, Output
from segface_edge.serving.app import make_app
from segface_edge.serving.metrics import Metrics
from segface_edge.serving.server import address_of, bind, server_of
from segface_edge.serving.settings import Settings
from segface_edge.serving.sharing import SharedEngine

# What no test here takes, unless something hangs.
PATIENCE_S = 20.0


class GatedEngine(FakeEngine):
    """Labels are what the frame's red is, in sixteenths; calls wait until the gate is open."""

    def __init__(self, *, is_open: bool = False, batch: int | None = None) -> None:
        super().__init__(np.zeros((32, 32)), batch=batch)
        self.gate, self.begun = threading.Event(), threading.Semaphore(0)
        if is_open:
            self.gate.set()

    def run(self, frames: np.ndarray) -> Output:
        self.calls.append(len(frames))
        self.begun.release()
        assert self.gate.wait(PATIENCE_S)
        return Output(frames[..., 0] // 16)

    def wait_begun(self) -> None:
        """Until a call has begun."""
        assert self.begun.acquire(timeout=PATIENCE_S)


@dataclass
class Running:
    """The server.

    Attributes:
        url: where it is.
        client: asks it.
        parser, engine: what it parses with.
        stop: begins its end; returns when it has ended.
        begin_to_stop: the same, returns at once.
    """

    url: str
    client: httpx.Client
    parser: FaceParser
    engine: SharedEngine
    stop: Callable[[], None]
    begin_to_stop: Callable[[], None]

    @property
    def live(self) -> str:
        """The address of the live pages' WebSocket."""
        return f"{self.url.replace('http', 'ws', 1)}/v1/live"

    def figure(self, name: str) -> float:
        """A figure of /metrics; 0 where there is none yet."""
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.client.get("/metrics").text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def wait(self, name: str, value: float) -> None:
        """Until a figure has a value."""
        until(lambda: self.figure(name) == value)

    def connection(self) -> socket.socket:
        """A bare connection."""
        host, _, port = self.url.rpartition("/")[2].partition(":")
        return socket.create_connection((host, int(port)), timeout=PATIENCE_S)

    def raw(self, *parts: bytes, pause: float = 0.0, cut: bool = False) -> tuple[int, bytes]:
        """Sends bytes as they are; the answer's status and body. `cut`: and no more will come."""
        with closing(self.connection()) as connection:
            try:
                for part in parts:
                    connection.sendall(part)
                    time.sleep(pause)
                if cut:
                    connection.shutdown(socket.SHUT_WR)
            except OSError:  # the server has answered and hung up
                pass
            return answer(connection)


def answer(connection: socket.socket) -> tuple[int, bytes]:
    """The status and the body of an answer after which the connection ends."""
    content = b""
    try:
        while part := connection.recv(65536):
            content += part
            head, found, body = content.partition(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: (\d+)", head)
            if found and length and len(body) >= int(length[1]):
                break
    except ConnectionResetError:
        pass
    head, _, body = content.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def until(true: Callable[[], bool]) -> None:
    """Waits until something is true."""
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, "it never became true"
        time.sleep(0.005)


@contextmanager
def running(
    engine: Engine | None = None,
    *,
    batch: int = 8,
    window: float = 0.0,
    parsing: dict[str, Any] | None = None,
    **settings: Any,
) -> Iterator[Running]:
    """Runs a server; arguments as of `SharedEngine`, `FaceParser` and `Settings`."""
    metrics, wanted = Metrics(), Settings(**settings)
    shared = SharedEngine(engine or FakeEngine(), batch=batch, window=window, called=metrics.frames.observe)
    parser = FaceParser(shared, **{"locate": "whole", **(parsing or {})})
    listening = bind("127.0.0.1", 0)
    url = address_of(listening)
    server = server_of(make_app(parser, shared, wanted, metrics), wanted)
    thread = threading.Thread(target=server.run, args=([listening],), name="server")
    thread.start()

    def begin_to_stop() -> None:
        server.should_exit = True

    def stop() -> None:
        begin_to_stop()
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), "the server does not end"

    until(lambda: server.started)
    headers = {} if wanted.token is None else {"Authorization": f"Bearer {wanted.token}"}
    try:
        with httpx.Client(base_url=url, timeout=PATIENCE_S, trust_env=False, headers=headers) as client:
            yield Running(url, client, parser, shared, stop, begin_to_stop)
    finally:
        if isinstance(engine, GatedEngine):
            engine.gate.set()
        stop()
        shared.close()


def picture(red: int = 0, *, side: int = 32, kind: str = "PNG") -> bytes:
    """A picture's file, all of one red: its label is red / 16 by `GatedEngine`."""
    buffer = BytesIO()
    Image.new("RGB", (side, side), (red, 0, 0)).save(buffer, kind)
    return buffer.getvalue()


def labels_of(content: bytes) -> np.ndarray:
    """The pixels of an indexed or grey PNG."""
    with Image.open(BytesIO(content)) as opened:
        assert opened.format == "PNG"
        assert opened.mode in ("P", "L")
        return np.array(opened)


def problem(reply: httpx.Response) -> str:
    """What an answer says is wrong, in the one form there is."""
    document = reply.json()
    assert set(document) == {"error"}
    assert document["error"]
    assert "\n" not in reply.text
    return str(document["error"])
