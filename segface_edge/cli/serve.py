"""`segface-edge serve`."""

from __future__ import annotations

import signal
import socket
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click

from segface_edge.errors import missing_extra
from segface_edge.memory import keep_small

from .options import HELP_MODEL, ModelWord, face_options, model_options

if TYPE_CHECKING:
    from segface_edge.parsing.choice import Choice

# What the extra brings.
_SERVING = ("starlette", "uvicorn", "h11", "websockets", "python_multipart", "prometheus_client")
# Of a photo, unless --max-faces says otherwise: a caller's crowd is not to keep others waiting.
MAX_FACES = 20


@click.command(
    "serve",
    epilog="""\b
Examples:
  segface-edge serve
  segface-edge serve --model model.onnx --threads 2 --queue 32
  segface-edge serve --host 0.0.0.0 --port 0 --allow-host faces.example.org --token 0123456789abcdef

\b
Then, from another terminal:
  curl --data-binary @photo.jpg 'http://127.0.0.1:8000/v1/parse?output=overlay' > overlay.png

\b
The page for a browser's camera is at /, the API's description at /openapi.json, figures for Prometheus at /metrics,
the Open Inference Protocol (KServe's, for NVIDIA's tritonclient too) under /v2: docs/serve.md has all of it. Of a photo
20 faces are parsed at most, unless --max-faces says otherwise. A token is better given as SEGFACE_EDGE_TOKEN, since
others see command lines. SIGTERM and Ctrl-C end it when what is in work is answered (exit codes 0 and 130); a host or
port that cannot be had ends it with 1.""",
)
@click.option("--model", type=ModelWord(), help=HELP_MODEL)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen; 0.0.0.0: at all addresses.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Where to listen; 0: any free one."
)
@click.option("--token", envvar="SEGFACE_EDGE_TOKEN", help="What callers must show: Authorization: Bearer TOKEN.")
@click.option("--allow-host", multiple=True, help="A name that callers call this machine; again for each more.")
@click.option("--name", default="segface", show_default=True, help="Of the model, under /v2.")
@click.option(
    "--queue", type=click.IntRange(1), default=16, show_default=True, help="Requests at a time; more get 503."
)
@click.option("--batch", type=click.IntRange(1), default=8, show_default=True, help="Faces in a call of the engine.")
@click.option(
    "--window-ms",
    type=click.FloatRange(0, 1000),
    default=2.0,
    show_default=True,
    help="How long a call waits for more faces, where the engine takes several.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 3600),
    default=30.0,
    show_default=True,
    help="Seconds of a request; then 504.",
)
@click.option(
    "--max-body-mb", type=click.FloatRange(0.001, 2000), default=32.0, show_default=True, help="More gets 413."
)
@click.option("--live", type=click.IntRange(1, 64), default=4, show_default=True, help="Live pages at a time.")
@face_options
@model_options
def command(
    model: Choice | None,
    host: str,
    port: int,
    token: str | None,
    allow_host: tuple[str, ...],
    name: str,
    queue: int,
    batch: int,
    window_ms: float,
    timeout: float,
    max_body_mb: float,
    live: int,
    locate: str,
    detector: Path | None,
    look: int,
    max_faces: int | None,
    min_face: float,
    max_pixels: int,
    device: str,
    threads: int | None,
    spec: Path | None,
) -> None:
    """Serve a model over HTTP: photos, a live page for the browser's camera, the Open Inference Protocol."""
    _check_packages()
    keep_small()
    from segface_edge.engines import open_engine
    from segface_edge.engines.base import cores
    from segface_edge.parsing.choice import BUNDLED
    from segface_edge.parsing.parser import FaceParser
    from segface_edge.parsing.stream import lanes
    from segface_edge.serving import server
    from segface_edge.serving.app import make_app
    from segface_edge.serving.metrics import Metrics
    from segface_edge.serving.settings import MEGABYTE, Settings
    from segface_edge.serving.sharing import Lanes, SharedEngine

    with ExitStack() as stack:
        listening = stack.enter_context(server.bind(host, port))
        at, loopback = server.address_of(listening), server.is_loopback(listening)
        settings = Settings(
            queue=queue,
            timeout=timeout,
            max_body=int(max_body_mb * MEGABYTE),
            live=live,
            token=token,
            names=(*allow_host, host, *([] if loopback else [socket.gethostname()])),
            model_name=name,
        )
        metrics = Metrics()
        choice = model or BUNDLED
        options = choice.options(device=device, threads=threads, spec=spec)
        opened = open_engine(choice.file, **options)
        side_by_side = None
        count, each = lanes(options.get("threads") or cores() or 1)
        if options["device"] == "cpu" and opened.max_batch == 1 and count > 1:
            side_by_side = Lanes(open_engine(choice.file, **options | {"threads": each}), count)
        engine = SharedEngine(
            opened, batch=batch, window=window_ms / 1000, called=metrics.frames.observe, lanes=side_by_side
        )
        stack.callback(engine.close)
        parser = FaceParser(
            engine,
            locate=locate,
            detector=detector,
            look=look,
            max_faces=MAX_FACES if max_faces is None else max_faces,
            min_face=min_face,
            max_pixels=max_pixels,
        )
        parser.warmup()
        app = make_app(parser, engine, settings, metrics)
        if token is None and not loopback:
            what = "anyone who reaches it may use it, there is no authentication"
            click.echo(f"warning: {at}: {what}; give a token by SEGFACE_EDGE_TOKEN", err=True)
        click.echo(f"serving {Path(engine.source).name} on {engine.device} at {at}")
        stopped_by = server.serve(app, listening, settings)
    if stopped_by == signal.SIGINT:
        raise KeyboardInterrupt


def _check_packages() -> None:
    """Raises MissingDependencyError for the first one of the extra that is not installed."""
    for package in _SERVING:
        try:
            import_module(package)
        except ModuleNotFoundError as error:
            raise missing_extra(package, "serve", "segface-edge serve") from error
