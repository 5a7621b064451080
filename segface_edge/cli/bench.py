"""`segface-edge bench`."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import click

from .options import check_json, json_option, model_options, progress_bar, say


@click.command(
    "bench",
    epilog="""\b
Examples:
  segface-edge bench                                   the bundled model
  segface-edge bench --engine model.onnx --threads 1
  segface-edge bench --engine model.onnx --duration 10 --json bench.json""",
)
@click.option("--engine", "model", type=click.Path(path_type=Path), help="Model file; default: the bundled model.")
@click.option("--image", type=click.Path(path_type=Path), help="Photo to parse; default: the bundled portrait.")
@click.option("--warmup", default=1.0, show_default=True, help="Seconds before measuring.")
@click.option("--duration", default=5.0, show_default=True, help="Seconds of measuring, and at least 10 photos.")
@model_options
@json_option
def command(
    model: Path | None,
    image: Path | None,
    warmup: float,
    duration: float,
    device: str,
    threads: int | None,
    json_to: str | None,
) -> None:
    """Measure latency and FPS of a model file: one photo after the other, stage by stage."""
    from segface_edge import imaging, zoo
    from segface_edge.bench.report import report, text
    from segface_edge.bench.single_stream import single_stream
    from segface_edge.engines import open_engine

    check_json(json_to)
    photo = imaging.load(image or zoo.PORTRAIT)
    start = perf_counter()
    with open_engine(model or zoo.DEFAULT_MODEL, device=device, threads=threads) as engine:
        open_ms = 1000 * (perf_counter() - start)
        with progress_bar(100, "measuring") as advance:
            done = 0

            def progress(share: float) -> None:
                nonlocal done
                step = int(100 * share) - done
                if step > 0:
                    advance(step)
                    done += step

            samples = single_stream(engine, photo, warmup_s=warmup, duration_s=duration, progress=progress)
        document = report(engine, photo, samples, open_ms=open_ms)
    say(document, json_to, text(document))
