"""Connections whose other end is slow, silent, cut off, or speaks no HTTP: uvicorn's, with limits."""

from __future__ import annotations

import asyncio
import json
import sys

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

# Of a request's head: how long it may take, how long it may be.
HEAD_SECONDS, HEAD_BYTES = 10.0, 32_768
# How long an answered client may go on sending, which nobody reads: who hangs up at once takes the answer away.
REST_SECONDS = 5.0
# How long an answer may lie here without a byte of it being taken.
STALLED_SECONDS = 30.0


class HttpConnection(H11Protocol):
    """Of HTTP. Where it is ended early, the answer is one line of JSON as all of them."""

    _head: asyncio.TimerHandle | None = None
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Of asyncio."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Of asyncio."""
        self._forget_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Of asyncio."""
        if self._refused:
            return
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._await_head()
        else:
            self._forget_head()

    def eof_received(self) -> None:
        """Of asyncio, which closes the connection next."""
        if self.conn.their_state is h11.SEND_BODY:
            self._refuse(400, "the body is cut off")

    def on_response_complete(self) -> None:
        """Of uvicorn."""
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY:
            self.loop.call_later(REST_SECONDS, self._end_body, self.cycle)
        self._watch_reader(0)

    def send_400_response(self, msg: str) -> None:
        """Of uvicorn, called where an error of h11's is caught."""
        error = sys.exc_info()[1]
        status = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        self._refuse(status, f"the request's head is over {HEAD_BYTES} bytes" if status == 431 else msg.lower())

    def _await_head(self) -> None:
        if self._head is None:
            self._head = self.loop.call_later(HEAD_SECONDS, self._no_head)

    def _forget_head(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _no_head(self) -> None:
        if not self.transport.is_closing():
            self._refuse(408, f"the request's head was not there within {HEAD_SECONDS:g} seconds")

    def _end_body(self, cycle: RequestResponseCycle) -> None:
        if cycle is self.cycle and self.conn.their_state is h11.SEND_BODY:
            self.transport.close()

    def _watch_reader(self, before: int) -> None:
        left = self.transport.get_write_buffer_size()
        if left and left == before:
            self.transport.abort()
        elif left:
            self.loop.call_later(STALLED_SECONDS, self._watch_reader, left)

    def _refuse(self, status: int, problem: str) -> None:
        """Answers, where nothing was answered yet, and ends the connection."""
        if self._refused:
            return
        self._refused = True
        if self.cycle is not None:
            self.cycle.disconnected = True  # what the application answers is not wanted any more
            self.cycle.message_event.set()
        content = json.dumps({"error": problem}).encode()
        headers = [("content-type", "application/json"), ("content-length", str(len(content))), ("connection", "close")]
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            events = (h11.Response(status_code=status, headers=headers), h11.Data(data=content), h11.EndOfMessage())
            self.transport.write(b"".join(self.conn.send(event) or b"" for event in events))
        self.transport.write_eof()
        self.loop.call_later(REST_SECONDS, self.transport.close)


class LiveConnection(WebSocketsSansIOProtocol):
    """Of WebSockets."""

    def keepalive_timeout(self) -> None:
        """Of uvicorn: ends a connection whose other end does not answer a ping, without waiting for it any longer."""
        super().keepalive_timeout()
        self.transport.abort()

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """Of uvicorn, when the application is done with it: who takes nothing any more does not hold it."""
        super().on_task_complete(task)
        self.loop.call_later(STALLED_SECONDS, self.transport.abort)
