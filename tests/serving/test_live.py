"""/v1/live: frames over a WebSocket, the newest counts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import closing
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segface_edge import FaceParser, __version__, zoo
from segface_edge.engines import open_engine
from segface_edge.parsing.stages import Stages

from .running import PATIENCE_S, GatedEngine, Running, labels_of, picture, running, until

from websockets.exceptions import ConnectionClosed  # isort: skip - after what skips without the extra
from websockets.sync.client import ClientConnection, connect  # isort: skip
from segface_edge.serving.app import make_app  # isort: skip
from segface_edge.serving.metrics import Metrics  # isort: skip
from segface_edge.serving.settings import Settings  # isort: skip
from segface_edge.serving.sharing import SharedEngine  # isort: skip

LIVE = "segface-edge.live"


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    """With an engine that sees red."""
    with running(GatedEngine(is_open=True), max_body=100_000) as found:
        yield found


def page(server: Running, **options: Any) -> Any:
    return connect(server.live, compression=None, max_size=None, proxy=None, **options)


def greeted(websocket: ClientConnection) -> dict[str, Any]:
    document = json.loads(websocket.recv(PATIENCE_S))
    assert document["type"] == "hello"
    return document


def send(websocket: ClientConnection, number: int, content: bytes) -> None:
    websocket.send(number.to_bytes(4, "little") + content)


def answer(websocket: ClientConnection) -> tuple[dict[str, Any], np.ndarray]:
    """The header and the label map of an answer."""
    content = websocket.recv(PATIENCE_S)
    assert isinstance(content, bytes), content
    length = int.from_bytes(content[:4], "little")
    labels = labels_of(content[4 + length :])
    header = json.loads(content[4 : 4 + length])
    assert labels.shape == (header["height"], header["width"])
    return header, labels


def text(websocket: ClientConnection) -> dict[str, Any]:
    content = websocket.recv(PATIENCE_S)
    assert isinstance(content, str)
    return dict(json.loads(content))


def test_it_says_first_what_it_is(server: Running) -> None:
    with page(server, subprotocols=[LIVE]) as websocket:
        assert websocket.subprotocol == LIVE
        document = greeted(websocket)
    order = server.parser.labels
    assert document.pop("classes") == [
        {"id": place, "name": name, "color": "#" + bytes(order.palette[place]).hex()}
        for place, name in enumerate(order.classes)
    ]
    assert document == {
        "type": "hello",
        "model": "fake",
        "backbone": "none",
        "device": "cpu",
        "engine": "fake",
        "version": __version__,
    }


def test_a_frame_is_answered_with_its_labels(parser: FaceParser) -> None:
    buffer = BytesIO()
    with Image.open(zoo.PORTRAIT) as opened:
        opened.resize((320, 240)).save(buffer, "JPEG")
    face = parser(buffer.getvalue())
    with running(open_engine(zoo.DEFAULT_MODEL), parsing={"locate": "auto"}) as server, page(server) as websocket:
        assert greeted(websocket)["model"] == zoo.DEFAULT_MODEL.name
        for number in (7, 2**32 - 1):
            send(websocket, number, buffer.getvalue())
            header, labels = answer(websocket)
            assert (header["frame"], header["width"], header["height"], header["dropped"]) == (number, 320, 240, 0)
            if number == 7:
                np.testing.assert_array_equal(labels, face.labels)
                wanted = [{name: one[name] for name in ("box", "score")} for one in face.to_json()["faces"]]
                assert header["faces"] == wanted
                assert wanted
            assert list(header["ms"]) == ["decode", "faces", "inference", "restore", "encode", "total"]
            assert all(value >= 0 for value in header["ms"].values())
            assert sum(list(header["ms"].values())[:-1]) <= header["ms"]["total"] + 1


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_formats_of_frames(server: Running, kind: str) -> None:
    with page(server) as websocket:
        greeted(websocket)
        send(websocket, 1, picture(0, side=48, kind=kind))
        assert answer(websocket)[1].shape == (48, 48)


def test_two_frames_that_come_at_once_are_both_answered(server: Running) -> None:
    with page(server) as websocket:
        greeted(websocket)
        for first in range(0, 40, 2):
            for number in (first, first + 1):
                send(websocket, number, picture(16))
            headers = [answer(websocket)[0] for _ in range(2)]
            assert [(header["frame"], header["dropped"]) for header in headers] == [(first, 0), (first + 1, 0)]


def test_the_newest_frame_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, taken, take = GatedEngine(), [], Stages.take

    def noted(self: Stages, photo: bytes) -> Any:
        taken.append(photo)
        return take(self, photo)

    monkeypatch.setattr(Stages, "take", noted)
    with running(engine) as server, page(server) as websocket:
        greeted(websocket)
        for number in (0, 1):  # in the engine, and prepared beside it
            send(websocket, number, picture(16 * number))
            if number == 0:
                engine.wait_begun()
        until(lambda: len(taken) == 2)
        for number in range(2, 10):
            send(websocket, number, picture(16 * number))
        server.wait('segface_edge_live_frames_total{end="dropped"}', 7)
        engine.gate.set()
        found = [answer(websocket) for _ in range(3)]
    assert [header["frame"] for header, _ in found] == [0, 1, 9]
    assert [int(labels[0, 0]) for _, labels in found] == [0, 1, 9]
    assert [header["dropped"] for header, _ in found] == [0, 0, 7]


@pytest.mark.parametrize("content", [b"", b"no picture", picture(side=1), picture(side=96)[:60]])
def test_a_frame_that_cannot_be_read_ends_nothing(server: Running, content: bytes) -> None:
    with page(server) as websocket:
        greeted(websocket)
        send(websocket, 3, content)
        document = text(websocket)
        assert (document["type"], document["frame"], bool(document["message"])) == ("error", 3, True)
        send(websocket, 4, picture(32))
        assert answer(websocket)[0]["frame"] == 4


def test_messages_that_are_no_frames(server: Running) -> None:
    with page(server) as websocket:
        greeted(websocket)
        for message in ("text", b"", b"123"):
            websocket.send(message)
            document = text(websocket)
            assert (document["type"], document["frame"], "4 bytes" in document["message"]) == ("error", None, True)
        send(websocket, 4, picture(32))
        assert answer(websocket)[0]["frame"] == 4


def test_a_frame_that_is_too_long_ends_it(server: Running) -> None:
    with page(server) as websocket:
        greeted(websocket)
        send(websocket, 3, bytes(100_001))
        with pytest.raises(ConnectionClosed):
            websocket.recv(PATIENCE_S)
        assert websocket.close_code == 1009
    server.wait("segface_edge_live_pages", 0)


def test_so_many_pages_at_a_time() -> None:
    with running(GatedEngine(is_open=True), live=1) as server:
        with page(server) as first:
            greeted(first)
            with page(server) as second:
                document = text(second)
                assert (document["type"], document["retry_after"], bool(document["message"])) == ("busy", 5, True)
                with pytest.raises(ConnectionClosed):
                    second.recv(PATIENCE_S)
                assert second.close_code == 1013
            send(first, 1, picture(16))
            assert answer(first)[0]["frame"] == 1
        server.wait("segface_edge_live_pages", 0)
        with page(server) as third:
            greeted(third)


def test_a_page_that_goes_in_the_middle_of_a_frame_frees_its_place() -> None:
    engine = GatedEngine()
    with running(engine, live=1) as server:
        with page(server) as websocket:
            greeted(websocket)
            send(websocket, 1, picture(16))
            engine.wait_begun()
            websocket.socket.close()  # a network that is gone says nothing more
        server.wait("segface_edge_live_pages", 0)
        engine.gate.set()
        with page(server) as websocket:
            greeted(websocket)
            send(websocket, 2, picture(32))
            assert answer(websocket)[0]["frame"] == 2


def test_the_server_s_end_ends_pages() -> None:
    with running(GatedEngine(is_open=True)) as server, page(server) as websocket:
        greeted(websocket)
        server.stop()
        with pytest.raises(ConnectionClosed):
            websocket.recv(PATIENCE_S)
        assert websocket.close_code == 1012


def test_a_frame_of_too_many_pixels_is_told_what_it_may_have() -> None:
    with running(GatedEngine(is_open=True), parsing={"max_pixels": 5_000}) as server, page(server) as websocket:
        greeted(websocket)
        send(websocket, 3, picture(side=96))
        assert text(websocket)["message"].endswith("; send a smaller picture, of at most 5000 pixels")


class _Gone:
    """A page that is gone while its answer is sent, so many turns of the loop before that is done."""

    def __init__(self, content: bytes, turns: int) -> None:
        self.turns = turns
        self.said = [{"type": "websocket.connect"}, {"type": "websocket.receive", "bytes": bytes(4) + content}]
        self.answers, self.answered = 0, asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        if self.said:
            return self.said.pop(0)
        await self.answered.wait()
        return {"type": "websocket.disconnect", "code": 1001}

    async def send(self, message: Any) -> None:
        self.answers += message["type"] == "websocket.send"
        if self.answers == 2:  # the first is the greeting
            self.answered.set()
            for _ in range(self.turns):
                await asyncio.sleep(0)


def test_a_page_that_goes_as_it_is_answered_frees_its_place() -> None:
    metrics, wanted = Metrics(), Settings(live=1)
    shared = SharedEngine(GatedEngine(is_open=True), batch=1)
    app = make_app(FaceParser(shared, locate="whole"), shared, wanted, metrics)
    scope = {"type": "websocket", "path": "/v1/live", "headers": [(b"host", b"localhost")], "query_string": b""}

    async def talk() -> None:
        for turns in range(8):
            page = _Gone(picture(32), turns)
            await asyncio.wait_for(app({**scope}, page.receive, page.send), PATIENCE_S)
            assert page.answers == 2

    with closing(shared):
        asyncio.run(talk())
