"""`segface-edge bench`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segface_edge.engines.base import cores
from segface_edge.errors import UsageError
from segface_edge.extras import pip_install
from segface_edge.files import check_place, write_whole

from .options import check_drawing, check_json, check_plots, json_option, model_options, say, share_bar
from .suite import check_suite_options, run, suite_options

if TYPE_CHECKING:
    from segface_edge.bench.devices import Device
    from segface_edge.bench.roofline import NodeWork
    from segface_edge.engines.base import Engine


class _Share(click.ParamType):  # type: ignore[type-arg] # older clicks cannot be subscripted
    """`5%` or 0.05, 100 % at most (a bare 5 would mean 500 %)."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            share = float(str(value).removesuffix("%")) / (100 if str(value).endswith("%") else 1)
        except ValueError:
            share = -1.0
        if not 0 <= share <= 1:
            self.fail(f"{value!r} is not a share such as 5% or 0.05", param, ctx)
        return share


@click.command(
    "bench",
    epilog="""\b
Examples:
  segface-edge bench                                   the bundled model
  segface-edge bench --engine model.onnx --json bench.json
  segface-edge bench --engine model.onnx@threads=1 --engine model.onnx@threads=2
  segface-edge bench --scenario camera --fps 30 --span all
  segface-edge bench --scenario offline --frames 4
  segface-edge bench --engine model.onnx --compare bench.json --max-slowdown 50%
  segface-edge bench --min-fps 1
  segface-edge bench --profile --profile-plot layers.png
  segface-edge bench --engine model.onnx --power --max-joules 2
  segface-edge bench --profile --html bench.html       a page to look at, to send, to keep
  segface-edge bench --suite export/suite.toml -o record/

\b
Scenarios:
  single-stream  one photo, the next when the last is done: latency
  multi-stream   --frames photos in one query: latency of the query
  offline        --frames photos in one query: throughput
  camera         a frame every 1/--fps seconds, the newest wins: dropped frames, age of results

Several engines are measured in turn and compared with the first; options after @ are threads, device, engine, spec.
They are opened anew several times, since two sessions of the same file differ by a per cent or two.
--power samples Jetson's rails, NVIDIA's GPUs and RAPL ten times a second, for one engine a run.
A gate that is not reached ends with exit code 6.""",
)
@click.option(
    "--engine",
    "--model",
    "engines",
    multiple=True,
    metavar="FILE[@key=value,…]",
    help="File or name of a model; may be repeated.",
)
@click.option("--image", type=click.Path(path_type=Path), help="Photo to parse; default: the bundled portrait.")
@click.option("--scenario", "name", default="single-stream", show_default=True, help="See below.")
@click.option("--frames", type=click.IntRange(1, 256), help="Photos a query; default: 1 (multi-stream, offline: 4).")
@click.option("--fps", default=30.0, show_default=True, help="Rate of the camera.")
@click.option(
    "--span",
    default="frame",
    show_default=True,
    help="engine: frames in, label maps out; frame: pixels to the photo's label map; all: file to overlay.",
)
@click.option("--warmup", default=1.0, show_default=True, help="Seconds before measuring, per engine.")
@click.option("--duration", default=5.0, show_default=True, help="Seconds of measuring, per engine.")
@click.option("--min-queries", default=10, show_default=True, help="Queries at least, per engine.")
@click.option("--gap-ms", default=0.0, show_default=True, help="Pause between queries.")
@click.option("--openings", type=click.IntRange(1, 100), help="Open engines anew this often; several engines: 10.")
@click.option("--compare", "base", type=click.Path(path_type=Path), help="Earlier report (JSON) to compare with.")
@click.option("--max-slowdown", type=_Share(), help="Gate: 5% or 0.05, with --compare.")
@click.option("--min-fps", type=click.FloatRange(0, 1e9), help="Gate: least photos a second.")
@click.option("--profile", is_flag=True, help="Also where the time goes: block by block, layer by layer.")
@click.option("--profile-plot", "plot_to", type=click.Path(path_type=Path), help="The same as a picture (matplotlib).")
@click.option(
    "--roofline",
    metavar="DEVICE",
    help="With --profile: whose peaks the layers are held against, a device of `segface-edge estimate --all`; default: "
    "this machine's CPUs, measured.",
)
@click.option("--max-p99", type=click.FloatRange(0, 1e9), metavar="MS", help="Gate: longest p99 in milliseconds.")
@click.option("--power", is_flag=True, help="Measure joules a photo, watts of each rail, and idle before.")
@click.option("--idle-s", type=click.FloatRange(0.1, 3600), help="Seconds of idling, with --power.  [default: 2]")
@click.option(
    "--max-joules", type=click.FloatRange(0, 1e9), metavar="J", help="Gate: most joules a photo, with --power."
)
@click.option("--html", "html_to", type=click.Path(path_type=Path), help="Write a page with figures of all of it.")
@click.option("--csv", "csv_to", type=click.Path(path_type=Path), help="Write the figures as CSV.")
@click.option("--markdown", "markdown_to", type=click.Path(path_type=Path), help="Write a table in Markdown.")
@suite_options
@model_options
@json_option
def command(
    engines: tuple[str, ...],
    image: Path | None,
    name: str,
    frames: int | None,
    fps: float,
    span: str,
    warmup: float,
    duration: float,
    min_queries: int,
    gap_ms: float,
    openings: int | None,
    base: Path | None,
    max_slowdown: float | None,
    min_fps: float | None,
    profile: bool,
    plot_to: Path | None,
    roofline: str | None,
    max_p99: float | None,
    power: bool,
    idle_s: float | None,
    max_joules: float | None,
    html_to: Path | None,
    csv_to: Path | None,
    markdown_to: Path | None,
    suite: Path | None,
    out: Path | None,
    calib_data: Path | None,
    device: str,
    threads: int | None,
    spec: Path | None,
    json_to: str | None,
) -> int | None:
    """Measure latency, FPS and power of model files, stage by stage, and compare several with each other."""
    check_suite_options(suite, out, calib_data)
    if suite is not None and out is not None:
        return run(suite, out, calib_data, json_to)
    from segface_edge import zoo
    from segface_edge.bench import gates
    from segface_edge.bench.choice import openers
    from segface_edge.bench.layers import measured_layers
    from segface_edge.bench.power.table import open_sensors
    from segface_edge.bench.report import all_rows, text, to_csv, to_markdown
    from segface_edge.bench.run import IDLE_S, bench, check_power
    from segface_edge.bench.scenarios import Scenario
    from segface_edge.pictures import reading

    if max_slowdown is not None and base is None:
        raise UsageError("--max-slowdown", "has nothing to compare with", "give --compare REPORT.json")
    for option, value in (("--max-joules", max_joules), ("--idle-s", idle_s)):
        if value is not None and not power:
            raise UsageError(option, "is about power, which is not measured", "give --power, too")
    if power:
        check_power(max(1, len(engines)))
    check_json(json_to)
    for path in (csv_to, markdown_to, html_to):
        if path:
            check_place(path)
    check_plots(plot_to)
    if html_to:
        check_drawing("--html", "bench_page", "html")
    profile = profile or plot_to is not None
    if roofline is not None and not profile:
        raise UsageError("--roofline", "is about layers, which are not measured", "give --profile, too")
    work_of = _work_of() if profile else None
    if roofline is not None and work_of is None:
        raise UsageError("--roofline", "needs the multiplications", pip_install("estimate"))
    device_of = _device_of(roofline)
    earlier = gates.read_report(base) if base else None
    scenario = Scenario(
        name=name,  # type: ignore[arg-type]
        frames=frames or (4 if name in ("multi-stream", "offline") else 1),
        fps=fps,
        warmup_s=warmup,
        duration_s=duration,
        min_queries=min_queries,
        gap_ms=gap_ms,
        openings=openings or (10 if len(engines) > 1 and name != "camera" else 1),
    )
    named = openers(engines or (str(zoo.DEFAULT_MODEL),), device=device, threads=threads, spec=spec)
    photo = image or zoo.PORTRAIT
    reading.load(photo)  # a bad one is named; of its bytes alone the benchmark could not say whose they are
    content = photo.read_bytes()
    # Before the engine: a machine without sensors is told at once.
    sensors = open_sensors() if power else None
    with sensors or nullcontext(), share_bar("measuring") as progress:
        layers = partial(measured_layers, work_of=work_of, device_of=device_of) if profile else None
        document = bench(
            named,
            content,
            scenario,
            span=span,  # type: ignore[arg-type]
            layers=layers,
            sensors=sensors,
            idle_s=IDLE_S if idle_s is None else idle_s,
            progress=progress,
        )
    if plot_to:
        from segface_edge.plots.figure import save_figure
        from segface_edge.plots.layers import layers_figure

        save_figure(layers_figure({row["engine"]["name"]: row["layers"] for row in all_rows(document)}), plot_to)
    if html_to:
        from segface_edge.plots.bench_page import bench_page

        write_whole(html_to, bench_page(document).encode())
    for path, content_of in ((csv_to, to_csv), (markdown_to, to_markdown)):
        if path:
            write_whole(path, content_of(document).encode())

    def judge() -> None:
        if earlier is not None and base is not None:
            found = gates.slowdown(document, earlier, base)
            for engine, ratio in found:
                low, high = ratio.low or ratio.ratio, ratio.high or ratio.ratio
                click.echo(
                    f"{engine}: {ratio.ratio:.3f} times the latency of {base} "
                    f"(95 % interval {low:.3f} to {high:.3f}; measured at different times)",
                    err=True,
                )
            if max_slowdown is not None:
                gates.check_slowdown(found, max_slowdown, base)
        if min_fps is not None:
            gates.check_fps(document, min_fps)
        if max_p99 is not None:
            gates.check_p99(document, max_p99)
        if max_joules is not None:
            gates.check_joules(document, max_joules)

    # After the files, since who reads what is said may go (`| head`); gates are judged then, too.
    try:
        say(document, json_to, text(document))
    except BrokenPipeError:
        judge()
        raise
    judge()
    return None


def _work_of() -> Callable[[Path, int], Mapping[str, NodeWork]] | None:
    """What counts a file's multiplications; None where the packages that read one are not installed, which it says."""
    try:
        from segface_edge.export.cost import costs_of_file
    except ModuleNotFoundError:
        click.echo(f"multiplications are not counted: {pip_install('estimate')}", err=True)
        return None
    return lambda path, frames: {cost.name: cost for cost in costs_of_file(path, batch=frames)}


def _device_of(name: str | None) -> Callable[[Engine], Device | None]:
    """Whose peaks an engine's layers are held against: those of a device of the table; without a name, of this machine
    where the engine runs on its CPUs."""
    from segface_edge.bench.devices import device, measured

    if name is not None:
        named = device(name)
        return lambda _: named

    @cache
    def here(threads: int) -> Device:
        from segface_edge.export.peaks import machine_peaks

        peaks = machine_peaks(threads)
        return measured(peaks.rates, peaks.bandwidth, peaks.cache)

    def found(engine: Engine) -> Device | None:
        if engine.device != "cpu":
            return None
        threads = engine.describe().get("threads")
        try:
            return here(threads if isinstance(threads, int) else cores() or 1)
        except MemoryError:
            # What was measured is not to be lost for it.
            click.echo("this machine's peaks are not measured: its memory does not hold a stream", err=True)
            return None

    return found
