"""/v1/live: a page's camera over a WebSocket, frame by frame; the newest counts. The protocol is in docs/serve.md."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import cv2
import numpy as np
from starlette.websockets import WebSocket, WebSocketDisconnect

from segface_edge import __version__
from segface_edge.errors import SegFaceEdgeError
from segface_edge.faces.watch import Watch
from segface_edge.parsing.stages import Stages, Work
from segface_edge.pictures.geometry import UInt8Array

from .classes import classes_of
from .guard import LIVE_PROTOCOL
from .metrics import Metrics
from .photos import Photo, taken
from .places import Places
from .settings import Settings

# A camera's frames are no larger; a page that sends photos may use /v1/parse.
MAX_PIXELS = 20_000_000
BUSY, RETRY_AFTER = 1013, 5
# Frames in work: while the engine has one, the next is decoded and its faces are found, and then both are parsed.
_IN_WORK = 2


@dataclass(frozen=True)
class _Frame:
    """As it came: its number, the picture's bytes, when, and how many were dropped before it."""

    number: int
    content: bytes
    came: float
    dropped: int


def live_endpoint(
    stages: Stages, pool: ThreadPoolExecutor, places: Places, settings: Settings, metrics: Metrics
) -> Callable[[WebSocket], Awaitable[None]]:
    """The endpoint; arguments as of `parse_endpoint`, `places` are those of live pages."""
    stages = replace(stages, max_pixels=min(stages.max_pixels, MAX_PIXELS))

    async def live(websocket: WebSocket) -> None:
        offered = websocket.scope.get("subprotocols") or []
        await websocket.accept(LIVE_PROTOCOL if LIVE_PROTOCOL in offered else None)
        with suppress(WebSocketDisconnect):  # it may go at any time
            if places.full:
                text = f"{places.most} pages are live already"
                await websocket.send_json({"type": "busy", "message": text, "retry_after": RETRY_AFTER})
                await websocket.close(BUSY)
                return
            with places.one():
                await websocket.send_json(hello(stages))
                await _Talk(websocket, stages, pool, settings, metrics).run()

    return live


def hello(stages: Stages) -> dict[str, Any]:
    """What a page is told first: the model, where it runs, and the classes with their colours."""
    engine = stages.engine
    return {
        "type": "hello",
        "model": engine.source.replace("\\", "/").rpartition("/")[2],
        "backbone": engine.spec.backbone,
        "device": engine.device,
        "engine": str(engine.describe()["runtime"]),
        "version": __version__,
        "classes": classes_of(engine.spec.labels),
    }


class _Talk:
    """With one page."""

    def __init__(
        self, websocket: WebSocket, stages: Stages, pool: ThreadPoolExecutor, settings: Settings, metrics: Metrics
    ) -> None:
        self._socket, self._stages, self._pool = websocket, stages, pool
        self._settings, self._metrics = settings, metrics
        self._newest: _Frame | None = None
        self._came = asyncio.Event()
        self._dropped = 0
        self._watch = Watch()
        self._free = asyncio.Semaphore(_IN_WORK)

    async def run(self) -> None:
        """Answers frames until the page goes, or does not take its answers."""
        ready: asyncio.Queue[tuple[_Frame, asyncio.Future[bytes]]] = asyncio.Queue()
        listening = asyncio.ensure_future(self._listen())
        working = [asyncio.ensure_future(one) for one in (self._prepare(ready), self._answer(ready))]
        try:
            await asyncio.wait([listening, *working], return_when=asyncio.FIRST_COMPLETED)
            if not listening.done():
                for task in working:
                    if task.done():
                        task.result()
        finally:
            left: list[asyncio.Future[Any]] = [listening, *working]
            left += [ready.get_nowait()[1] for _ in range(ready.qsize())]
            for one in left:
                one.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _listen(self) -> None:
        while (message := await self._socket.receive())["type"] != "websocket.disconnect":
            content = message.get("bytes")
            if content is None or len(content) < 4:
                await self._say_error(None, "a frame is a binary message: 4 bytes of its number, then the picture")
                continue
            if self._newest is not None:
                self._dropped += 1
                self._metrics.live_frames.labels("dropped").inc()
            number = int.from_bytes(content[:4], "little")
            self._newest = _Frame(number, content[4:], perf_counter(), self._dropped)
            self._came.set()
            await asyncio.sleep(0)  # whoever has nothing in work takes it, before a newer one comes

    async def _prepare(self, ready: asyncio.Queue[tuple[_Frame, asyncio.Future[bytes]]]) -> None:
        """Frames in turn, as faces are followed from one to the next."""
        while True:
            await self._free.acquire()
            await self._came.wait()
            self._came.clear()
            frame, self._newest = self._newest, None
            assert frame is not None
            answer: asyncio.Future[bytes]
            try:
                work = await self._in_thread(self._prepared, frame)
            except SegFaceEdgeError as error:
                answer = asyncio.get_running_loop().create_future()
                answer.set_exception(error)
            else:
                answer = asyncio.ensure_future(self._in_thread(self._parsed, frame, work))
            ready.put_nowait((frame, answer))

    async def _answer(self, ready: asyncio.Queue[tuple[_Frame, asyncio.Future[bytes]]]) -> None:
        while True:
            frame, coming = await ready.get()
            try:
                answer = await coming
            except SegFaceEdgeError as error:
                self._metrics.live_frames.labels("bad").inc()
                await self._say_error(frame.number, str(error))
            else:
                self._metrics.live_frames.labels("answered").inc()
                if not await self._sent(answer):
                    return
            self._free.release()

    async def _sent(self, answer: bytes) -> bool:
        """Whether the page took it in time: who does not take what it asked for makes place for others."""
        # Not `wait_for`: before Python 3.12 it forgets that it was cancelled where the answer went just then.
        sending = asyncio.ensure_future(self._socket.send_bytes(answer))
        try:
            await asyncio.wait({sending}, timeout=self._settings.timeout)
            if sending.done():
                sending.result()
            return sending.done()
        finally:
            sending.cancel()

    async def _in_thread(self, do: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, do, *arguments)

    async def _say_error(self, number: int | None, message: str) -> None:
        await self._socket.send_json({"type": "error", "frame": number, "message": message})

    def _prepared(self, frame: _Frame) -> Work:
        work = taken(self._stages, Photo("picture", frame.content))
        self._watch.now = frame.came
        return self._stages.fit(self._stages.find(work, self._watch))

    def _parsed(self, frame: _Frame, work: Work) -> bytes:
        self._stages.infer([work])
        face = self._stages.finish(work)
        start = perf_counter()
        picture = _png(face.labels)
        end = perf_counter()
        took = face.timings
        self._metrics.parsed(took)
        milliseconds = {
            "decode": took["decode"],
            "faces": took["locate"] + took["fit"],
            "inference": took["inference"],
            "restore": took["restore"],
            "encode": 1000 * (end - start),
            "total": 1000 * (end - frame.came),
        }
        height, width = face.labels.shape
        head = {
            "frame": frame.number,
            "width": width,
            "height": height,
            "faces": [
                {
                    "box": [round(edge, 1) for edge in (box.left, box.top, box.right, box.bottom)],
                    "score": round(box.score, 3),
                }
                for box in face.faces
            ],
            "ms": {name: round(value, 2) for name, value in milliseconds.items()},
            "dropped": frame.dropped,
        }
        text = json.dumps(head, separators=(",", ":")).encode()
        return len(text).to_bytes(4, "little") + text + picture


def _png(labels: UInt8Array) -> bytes:
    """(H, W) uint8 as an 8-bit grey PNG, quickly: label maps are runs of equal pixels."""
    options = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    done, content = cv2.imencode(".png", labels, options)
    assert done
    return np.asarray(content).tobytes()
