"""A request's body, and its answer, within a time, as long as somebody waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from segface_edge.files import count_in

from .answers import GONE, Refused

_Found = TypeVar("_Found")


class Waited:
    """A client that waits for its answer.

    Args:
        request: its request.
        seconds: that it may take in all.
        most: bytes of its body.
    """

    def __init__(self, request: Request, *, seconds: float, most: int) -> None:
        self._request, self._seconds, self._most = request, seconds, most
        self._until = monotonic() + seconds
        self._gone = threading.Event()

    def check(self) -> None:
        """Called between two steps of the work, in its thread. Raises Refused where nobody waits for the next."""
        if self._gone.is_set():
            raise Refused(GONE, "the client has gone")

    async def body(self) -> bytes:
        """The whole body.

        Raises:
            Refused: 413 too large, 408 not there in time, 400 cut off.
        """
        length = self._request.headers.get("content-length", "")
        said = count_in(length)
        if length.isdecimal() and (said is None or said > self._most):
            raise self._too_large()
        try:
            return await asyncio.wait_for(self._read(), self._left())
        except asyncio.TimeoutError:
            raise Refused(408, f"the body was not there within {self._seconds:g} seconds") from None
        except ClientDisconnect:
            raise Refused(400, "the body is cut off") from None

    async def work(self, pool: ThreadPoolExecutor, do: Callable[[], _Found]) -> _Found:
        """What a thread of the pool makes of it.

        Raises:
            Refused: 504 not done in time; the client has gone. What has not begun then never does.
        """
        job: asyncio.Future[Any] = asyncio.get_running_loop().run_in_executor(pool, do)
        gone: asyncio.Future[Any] = asyncio.ensure_future(self._left_us())
        try:
            await asyncio.wait({job, gone}, timeout=self._left(), return_when=asyncio.FIRST_COMPLETED)
            if job.done():
                found: _Found = job.result()
                return found
            if gone.done():
                raise Refused(GONE, "the client has gone")
            raise Refused(504, f"not done within {self._seconds:g} seconds; send less, or try again later")
        finally:
            if not job.done():
                self._gone.set()
                job.cancel()
            gone.cancel()

    def _left(self) -> float:
        return max(0.0, self._until - monotonic())

    def _too_large(self) -> Refused:
        return Refused(413, f"the body is over {self._most} bytes; send less, or scale the picture down")

    async def _read(self) -> bytes:
        parts, size = [], 0
        async for part in self._request.stream():
            size += len(part)
            if size > self._most:
                raise self._too_large()
            parts.append(part)
        return b"".join(parts)

    async def _left_us(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
