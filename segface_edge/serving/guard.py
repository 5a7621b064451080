"""Who may call: by the Host header, the Origin, and the token."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from .answers import Refused, refusal

# The subprotocol of /v1/live, and what stands before a token in another one: a page can set no header of a WebSocket,
# and an address would stand in logs.
LIVE_PROTOCOL = "segface-edge.live"
TOKEN_PROTOCOL = "segface-edge.token."


class Guard:
    """Lets through who may call.

    - The Host must be `localhost`, an address, or one of `names`: a name that somebody else's DNS lets point here
      (DNS rebinding) makes a foreign page this server's own.
    - An Origin must be this server's: other sites' pages may not make a browser ask.
    - The token is compared in constant time. Files of the page are open, since a browser asks for them without a token
      and there is nothing in them; so is what `open_paths` has besides.

    Args:
        app: what is called.
        names: see `Settings`.
        token: see `Settings`.
        open_paths: what may be asked for without it.
    """

    def __init__(self, app: ASGIApp, *, names: Collection[str], token: str | None, open_paths: Collection[str]) -> None:
        self._app = app
        self._names = {"localhost", *(name.lower().rstrip(".") for name in names)}
        self._token = None if token is None else token.encode()
        self._open = frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Of ASGI."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            self._check(scope, Headers(scope=scope))
        except Refused as error:
            if scope["type"] == "http":
                await refusal(error)(scope, receive, send)
            else:
                await WebSocket(scope, receive, send).send_denial_response(refusal(error))
            return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope, headers: Headers) -> None:
        host = headers.get("host", "")
        if not self._is_ours(host):
            raise Refused(421, f"this server is not called {host!r}; start it with --allow-host to call it so")
        origin = headers.get("origin")
        if origin is not None and not _same(origin, host):
            raise Refused(403, "pages of other sites may not call this server")
        if self._token is not None and scope["path"] not in self._open:
            shown = _shown(headers)
            if shown is None:
                raise Refused(401, "a token is needed: Authorization: Bearer TOKEN")
            if not hmac.compare_digest(shown, self._token):
                raise Refused(401, "the token is wrong")

    def _is_ours(self, host: str) -> bool:
        try:
            parts = urlsplit(f"//{host}")
            name, _ = parts.hostname or "", parts.port  # a port that is none raises
        except ValueError:
            return False
        try:
            ip_address(name)
        except ValueError:
            return name.rstrip(".") in self._names
        return True


def _same(origin: str, host: str) -> bool:
    """Whether a page's origin has this host and port; which scheme, a proxy before us knows alone."""
    try:
        parts = urlsplit(origin)
        port = {"http": 80, "https": 443}.get(parts.scheme)
        ours = urlsplit(f"//{host}")
        return port is not None and (parts.hostname, parts.port or port) == (ours.hostname, ours.port or port)
    except ValueError:
        return False


def _shown(headers: Headers) -> bytes | None:
    """The token that the caller shows, None where there is none."""
    kind, _, token = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and token.strip():
        return token.strip().encode()
    for protocol in headers.get("sec-websocket-protocol", "").split(","):
        name = protocol.strip()
        if name.startswith(TOKEN_PROTOCOL):
            text = name.removeprefix(TOKEN_PROTOCOL)
            try:
                return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            except (binascii.Error, ValueError):
                return b""
    return None
