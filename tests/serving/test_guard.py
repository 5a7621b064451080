"""Who may call: by Host, Origin and token."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from segface_edge.errors import UsageError

from .running import GatedEngine, Running, picture, problem, running

from websockets.exceptions import InvalidStatus  # isort: skip - after what skips without the extra
from websockets.sync.client import connect  # isort: skip
from websockets.typing import Subprotocol  # isort: skip

TOKEN = "a-token+of/these~tests=="
LIVE = "segface-edge.live"


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    """Without a token."""
    with running(GatedEngine(is_open=True), names=("faces.example",)) as found:
        yield found


@pytest.fixture(scope="module")
def guarded() -> Iterator[Running]:
    """With one."""
    with running(GatedEngine(is_open=True), token=TOKEN) as found:
        yield found


def hidden(token: str) -> str:
    return "segface-edge.token." + base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")


def handshake(server: Running, **options: object) -> tuple[int, str | None]:
    """The status of a WebSocket's handshake, and its subprotocol."""
    try:
        with connect(server.live, proxy=None, **options) as websocket:  # type: ignore[arg-type]
            return 101, websocket.subprotocol
    except InvalidStatus as error:
        return error.response.status_code, None


@pytest.mark.parametrize("host", ["localhost", "localhost:80", "LOCALHOST", "127.0.0.1:8000", "[::1]:8000", "10.1.2.3",
                                  "faces.example", "Faces.Example.:443"])  # fmt: skip
def test_names_that_are_ours(server: Running, host: str) -> None:
    assert server.client.get("/v2", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example",
                                  "x@localhost.evil", "127.0.0.1:8000.evil.example", "[::1", ""])  # fmt: skip
def test_names_that_somebody_else_lets_point_here(server: Running, host: str) -> None:
    for path in ("/v2", "/", "/healthz"):
        reply = server.client.get(path, headers={"Host": host})
        assert (reply.status_code, "not called" in problem(reply)) == (421, True)


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:1", "file://", "http://[", ""])
def test_pages_of_other_sites(server: Running, origin: str) -> None:
    reply = server.client.post("/v1/parse", content=picture(), headers={"Origin": origin})
    assert (reply.status_code, "other sites" in problem(reply)) == (403, True)
    assert handshake(server, additional_headers={"Origin": origin}) == (403, None)


def test_our_own_page(server: Running) -> None:
    reply = server.client.post("/v1/parse", content=picture(), headers={"Origin": server.url})
    assert reply.status_code == 200
    assert handshake(server, additional_headers={"Origin": server.url}) == (101, None)
    # Behind a proxy that speaks https.
    headers = {"Host": "faces.example", "Origin": "https://faces.example"}
    assert server.client.get("/v2", headers=headers).status_code == 200
    headers["Host"] = "faces.example:8443"
    assert server.client.get("/v2", headers=headers).status_code == 403


def test_a_websocket_by_a_foreign_name(server: Running) -> None:
    with (
        pytest.raises(InvalidStatus) as caught,
        connect("ws://evil.example/v1/live", sock=server.connection(), proxy=None),
    ):
        pass
    assert caught.value.response.status_code == 421


@pytest.mark.parametrize("path", ["/v2", "/metrics", "/openapi.json", "/v2/health/live"])
def test_a_token_is_asked_for(guarded: Running, path: str) -> None:
    for shown in (None, "Bearer wrong-token", f"Basic {TOKEN}", "Bearer", f"Bearer {TOKEN}x", "Bearer \u00e9"):
        headers = {"Authorization": (shown or "").encode("latin-1")}
        reply = guarded.client.get(path, headers=headers)
        assert (reply.status_code, "token" in problem(reply)) == (401, True), shown
        assert reply.headers["www-authenticate"] == "Bearer"
    assert guarded.client.get(path).status_code == 200


def test_what_is_open_without_a_token(guarded: Running) -> None:
    for path in ("/healthz", "/readyz"):
        assert guarded.client.get(path, headers={"Authorization": ""}).status_code == 200


def test_a_page_shows_its_token_as_a_subprotocol(guarded: Running) -> None:
    assert handshake(guarded) == (401, None)
    assert handshake(guarded, subprotocols=[Subprotocol(LIVE), Subprotocol(hidden("wrong-token"))]) == (401, None)
    assert handshake(guarded, subprotocols=[Subprotocol(LIVE), Subprotocol("segface-edge.token.!")]) == (401, None)
    assert handshake(guarded, subprotocols=[Subprotocol(LIVE), Subprotocol(hidden(TOKEN))]) == (101, LIVE)
    assert handshake(guarded, additional_headers={"Authorization": f"Bearer {TOKEN}"}) == (101, None)


@pytest.mark.parametrize("token", ["short", "a token with spaces", "line\nbreak-line", "x" * 513])
def test_tokens_that_are_none(token: str) -> None:
    from segface_edge.serving.settings import Settings

    with pytest.raises(UsageError, match="is no token") as caught:
        Settings(token=token)
    assert token not in str(caught.value)
    assert TOKEN not in repr(Settings(token=TOKEN))
