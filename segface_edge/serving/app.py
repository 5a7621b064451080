"""The application: what answers at which address."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from segface_edge.engines.base import cores
from segface_edge.errors import SegFaceEdgeError
from segface_edge.parsing.parser import FaceParser

from .answers import Refused, refuse
from .guard import Guard
from .inference import inference_routes
from .live import live_endpoint
from .metrics import Metrics
from .openapi import document
from .page import page_routes
from .parse import parse_endpoint
from .places import Places
from .settings import Settings
from .sharing import SharedEngine

_LOG = logging.getLogger(__name__)
HEALTH = ("/healthz", "/readyz")


def make_app(parser: FaceParser, engine: SharedEngine, settings: Settings, metrics: Metrics) -> ASGIApp:
    """An ASGI application; `parser` and `engine` are closed by who opened them.

    Args:
        parser: parses with `engine`.
        engine: which is asked by `/v2` too.
        settings: how it behaves.
        metrics: what it counts with.
    """
    requests, pages = Places(settings.queue, "requests"), Places(settings.live, "live pages")
    # As many as can wait for a call of the engine together, while others decode and draw.
    pool = ThreadPoolExecutor(engine.batch + (cores() or 1), thread_name_prefix="parsing")
    live_pool = ThreadPoolExecutor(2 * settings.live, thread_name_prefix="live")
    metrics.watch("requests_in_work", "Requests that are read, wait or are in work.", lambda: requests.taken)
    metrics.watch("live_pages", "Pages that are live.", lambda: pages.taken)

    async def healthz(request: Request) -> Response:  # noqa: ARG001
        return JSONResponse({"status": "ok"})

    async def readyz(request: Request) -> Response:  # noqa: ARG001
        return JSONResponse({"ready": engine.works}, 200 if engine.works else 503)

    async def metrics_page(request: Request) -> Response:  # noqa: ARG001
        return metrics.answer()

    async def openapi(request: Request) -> Response:  # noqa: ARG001
        return JSONResponse(document())

    page = page_routes()
    routes = [
        Route("/v1/parse", parse_endpoint(parser.stages, pool, requests, settings, metrics), methods=["POST"]),
        WebSocketRoute("/v1/live", live_endpoint(parser.stages, live_pool, pages, settings, metrics)),
        *inference_routes(engine, pool, requests, settings),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", metrics_page),
        Route("/openapi.json", openapi),
        *page,
    ]

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        pool.shutdown(wait=False, cancel_futures=True)
        live_pool.shutdown(wait=False, cancel_futures=True)

    handlers = dict.fromkeys((HTTPException, Refused, SegFaceEdgeError, Exception), refuse)
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)
    guarded = Guard(
        app, names=settings.names, token=settings.token, open_paths=[*HEALTH, *(route.path for route in page)]
    )
    return metrics.counted(_logged(guarded))


def _logged(app: ASGIApp) -> ASGIApp:
    """The app, whose faults are logged: Starlette answers them with 500 and raises them again, for which uvicorn would
    end the connection."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except Exception:
            if scope["type"] != "http":
                raise
            _LOG.exception("a request failed")

    return call
