"""Figures for Prometheus, at /metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class Metrics:
    """Of one server.

    Attributes:
        frames: calls of the engine, by their number of frames.
        stages: seconds of the stages of a picture.
        live_frames: frames of live pages, by what became of them.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "segface_edge_requests", "Requests answered.", ["endpoint", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "segface_edge_request_seconds",
            "Seconds from a request's head to the end of its answer.",
            ["endpoint"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.stages = Histogram(
            "segface_edge_stage_seconds",
            "Seconds of a picture's stages.",
            ["stage"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.frames = Histogram(
            "segface_edge_call_frames",
            "Frames in a call of the engine.",
            buckets=(1, 2, 4, 8, 16, 32),
            registry=self._registry,
        )
        self.live_frames = Counter(
            "segface_edge_live_frames",
            "Frames of live pages: answered, dropped, bad.",
            ["end"],
            registry=self._registry,
        )

    def watch(self, name: str, text: str, value: Callable[[], float]) -> None:
        """A figure that is asked for when it is read."""
        Gauge(f"segface_edge_{name}", text, registry=self._registry).set_function(value)

    def parsed(self, milliseconds: Mapping[str, float]) -> None:
        """Notes a picture's stages."""
        for stage, value in milliseconds.items():
            self.stages.labels(stage).observe(value / 1000)

    def answer(self) -> Response:
        """All figures, in Prometheus's format."""
        return Response(generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    def counted(self, app: ASGIApp) -> ASGIApp:
        """The app, each of whose answers is counted."""

        async def count(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            start, status = perf_counter(), 500

            async def noted(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                await send(message)

            try:
                await app(scope, receive, noted)
            finally:
                # Where the router knows none, no address is noted: those are the caller's choice.
                endpoint = getattr(scope.get("endpoint"), "__name__", "none")
                self._requests.labels(endpoint, str(status)).inc()
                self._seconds.labels(endpoint).observe(perf_counter() - start)

        return count
