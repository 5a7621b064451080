"""Nobody waits for ever, nobody is lost: a full queue, slow and broken clients, clients that go, the server's end."""

from __future__ import annotations

import asyncio
import io
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from PIL import Image

httpx = pytest.importorskip("httpx", reason="serving needs the extra serve, its tests httpx")

from segface_edge.engines import FakeEngine
from segface_edge.engines.base import cores

from .running import GatedEngine, Running, answer, labels_of, picture, problem, running, until

IN_WORK = "segface_edge_requests_in_work"
HEAD = b"POST /v1/parse HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"


def posting(server: Running, reds: list[int]) -> tuple[ThreadPoolExecutor, list[Any]]:
    pool = ThreadPoolExecutor(len(reds))
    return pool, [pool.submit(server.client.post, "/v1/parse?output=mask", content=picture(red)) for red in reds]


def test_two_hundred_at_once_with_sixteen_places_are_all_answered() -> None:
    engine = FakeEngine(delay=0.02)

    async def all_at_once(url: str) -> list[Any]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=url, timeout=20, trust_env=False, limits=limits) as client:
            return await asyncio.gather(*(client.post("/v1/parse", content=picture()) for _ in range(200)))

    with running(engine, queue=16, batch=1) as server:
        replies = asyncio.run(all_at_once(server.url))
        counts = Counter(reply.status_code for reply in replies)
        assert set(counts) == {200, 503}
        assert counts.total() == 200
        assert counts[200] >= 16
        assert len(engine.calls) == counts[200]
        for reply in replies:
            if reply.status_code == 503:
                assert reply.headers["retry-after"] == "1"
                assert "16 requests" in problem(reply)
        assert server.figure(IN_WORK) == 0


def test_what_waits_is_answered_and_what_is_too_much_is_sent_away() -> None:
    engine = GatedEngine()
    with running(engine, queue=3) as server:
        pool, replies = posting(server, [16, 32, 48])
        server.wait(IN_WORK, 3)
        reply = server.client.post("/v1/parse", content=picture())
        assert (reply.status_code, "3 requests" in problem(reply)) == (503, True)
        assert server.client.get("/healthz").status_code == 200
        engine.gate.set()
        found = [reply.result(20) for reply in replies]
        pool.shutdown()
    assert [reply.status_code for reply in found] == [200] * 3
    assert [int(labels_of(reply.content)[0, 0]) for reply in found] == [1, 2, 3]


def test_callers_share_calls_of_the_engine_and_each_gets_its_own() -> None:
    engine = GatedEngine()
    with running(engine, batch=8) as server:
        pool, first = posting(server, [16])
        engine.wait_begun()
        others, rest = posting(server, [32, 48, 64, 80, 96, 112, 128])
        until(lambda: len(server.engine._waiting) == 7)
        engine.gate.set()
        found = [reply.result(20) for reply in [*first, *rest]]
        pool.shutdown()
        others.shutdown()
        assert server.figure('segface_edge_call_frames_bucket{le="8.0"}') == 2
    assert engine.calls == [1, 7]
    assert [int(labels_of(reply.content)[0, 0]) for reply in found] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_work_that_takes_too_long() -> None:
    engine = GatedEngine()
    with running(engine, timeout=2) as server:
        reply = server.client.post("/v1/parse", content=picture())
        assert (reply.status_code, "not done within 2 seconds" in problem(reply)) == (504, True)
        assert server.figure(IN_WORK) == 0
        engine.gate.set()
        assert server.client.post("/v1/parse", content=picture()).status_code == 200


def test_a_body_that_trickles() -> None:
    with running(timeout=0.3) as server:
        status, body = server.raw(HEAD % 1000, *[b"x"] * 20, pause=0.05)
        assert (status, b"the body was not there within 0.3 seconds" in body) == (408, True)
        assert server.figure(IN_WORK) == 0


def test_a_body_that_is_cut_off() -> None:
    with running() as server:
        status, body = server.raw(HEAD % 1000, b"x" * 10, cut=True)
        assert (status, body) == (400, b'{"error": "the body is cut off"}')
        server.wait(IN_WORK, 0)


def test_heads_that_are_too_long_too_slow_or_no_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segface_edge.serving.connections.HEAD_SECONDS", 1.0)
    with running() as server:
        status, body = server.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ", b"x" * 40_000)
        assert (status, b"over 32768 bytes" in body) == (431, True)
        status, body = server.raw(b"GET /healthz HTTP/1.1\r\n", *[b"X: x\r\n"] * 30, pause=0.1)
        assert (status, b"was not there within 1 seconds" in body) == (408, True)
        status, body = server.raw(b"")
        assert (status, b"was not there within 1 seconds" in body) == (408, True)
        status, body = server.raw(b"\x16\x03\x01 no http\r\n\r\n")
        assert (status, body) == (400, b'{"error": "invalid http request received."}')
        # A connection that is kept for more is no slow head.
        assert server.client.get("/healthz").status_code == 200
        time.sleep(1.2)
        assert server.client.get("/healthz").status_code == 200


def test_an_answer_comes_before_a_body_that_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that is too long is answered at once, and is not listened to for ever."""
    monkeypatch.setattr("segface_edge.serving.connections.REST_SECONDS", 0.3)
    with running(max_body=1000) as server, server.connection() as connection:
        connection.sendall(HEAD % 10**9 + b"x")
        status, body = answer(connection)
        assert (status, b"over 1000 bytes" in body) == (413, True)
        until(lambda: _is_closed(connection))


def _is_closed(connection: Any) -> bool:
    try:
        connection.sendall(b"x")
        connection.settimeout(0.05)
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


@pytest.mark.parametrize("sent", [0, 1], ids=["while it sends", "while it waits"])
def test_a_client_that_goes_frees_its_place(sent: int) -> None:
    engine = GatedEngine()
    with running(engine, queue=1) as server:
        body = picture()
        connection = server.connection()
        connection.sendall(HEAD % len(body) + body[: len(body) * sent])
        server.wait(IN_WORK, 1)
        if sent:
            engine.wait_begun()
        connection.close()
        server.wait(IN_WORK, 0)
        engine.gate.set()
        assert server.client.post("/v1/parse", content=body).status_code == 200


def test_what_nobody_waits_for_any_more_is_not_begun() -> None:
    engine = GatedEngine(batch=1)
    with running(engine, queue=64) as server:
        pool, first = posting(server, [16])
        engine.wait_begun()
        body = picture()
        for _ in range(40):
            with server.connection() as connection:
                connection.sendall(HEAD % len(body) + body)
        gone = 'segface_edge_requests_total{endpoint="parse",status="%d"}'
        until(lambda: server.figure(gone % 499) + server.figure(gone % 400) == 40)
        engine.gate.set()
        assert first[0].result(20).status_code == 200
        pool.shutdown()
        assert server.client.post("/v1/parse", content=body).status_code == 200
    # No more than threads had begun with.
    assert len(engine.calls) <= 2 + (cores() or 1)


def test_what_is_in_work_is_answered_before_the_end() -> None:
    engine = GatedEngine()
    with running(engine) as server:
        pool, replies = posting(server, [16, 32])
        server.wait(IN_WORK, 2)
        server.begin_to_stop()
        until(lambda: not _accepts(server))
        threading.Timer(0.2, engine.gate.set).start()
        assert [reply.result(20).status_code for reply in replies] == [200, 200]
        pool.shutdown()
        server.stop()


def _accepts(server: Running) -> bool:
    try:
        server.connection().close()
    except OSError:
        return False
    return True


def test_an_answer_that_nobody_takes_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segface_edge.serving.connections.STALLED_SECONDS", 0.2)
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (1600, 1600, 3), np.uint8))
    buffer = io.BytesIO()
    noise.save(buffer, "JPEG", quality=50)
    body = buffer.getvalue()
    with running(GatedEngine(is_open=True)) as server, server.connection() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        whole = len(server.client.post("/v1/parse?output=overlay", content=body).content)
        connection.sendall((HEAD % len(body)).replace(b"/parse", b"/parse?output=overlay") + body)
        server.wait('segface_edge_requests_total{endpoint="parse",status="200"}', 2)
        time.sleep(1.0)
        found = 0
        with suppress(ConnectionResetError):
            while part := connection.recv(2**20):
                found += len(part)
        assert 0 < found < whole
        assert server.client.get("/healthz").status_code == 200
