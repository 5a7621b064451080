"""`segface-edge estimate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segface_edge.errors import UsageError, missing_extra

from .options import ModelFile, check_json, json_option, say

if TYPE_CHECKING:
    from segface_edge.bench.devices import Device
    from segface_edge.export.work import Work

_NO_FIGURE = "no figure"


@click.command(
    "estimate",
    epilog="""\b
Examples:
  segface-edge estimate --device orin-nano-8gb --precision fp16
  segface-edge estimate model.onnx --device l4 --device h200
  segface-edge estimate --all --fps 30 --faces 2 --precision fp16

A bound is no measurement: most calls take several times as long. "cannot" is as certain as the published peaks,
"may" promises nothing: measure with `segface-edge bench` on the device. The network alone is counted, not what finds
faces or draws.
Devices and the sources of their peaks: segface_edge/bench/devices.toml; what is counted: docs/estimate.md.""",
)
@click.argument("model", required=False, type=ModelFile())
@click.option("--device", "names", multiple=True, metavar="NAME", help="A device of the table; may be repeated.")
@click.option("--all", "every", is_flag=True, help="Every device of the table, quickest first.")
@click.option("--precision", help="fp32, fp16 or int8: what the products would run in; default: the file's own.")
@click.option(
    "--fps",
    type=click.FloatRange(0, 1e6, min_open=True),
    default=30.0,
    show_default=True,
    help="Frames a second wanted.",
)
@click.option("--faces", type=click.IntRange(1, 256), default=1, show_default=True, help="Faces in each frame.")
@json_option
def command(
    model: Path | None,
    names: tuple[str, ...],
    every: bool,
    precision: str | None,
    fps: float,
    faces: int,
    json_to: str | None,
) -> None:
    """Say how quick MODEL can be at best on a device: a lower bound on its latency.

    From its operations and bytes, and the device's published peaks. MODEL: a file of `export` or `quantize`, or a name.
    """
    from segface_edge import zoo
    from segface_edge.bench.devices import device, devices, known

    try:
        from segface_edge.export.work import file_work
    except ModuleNotFoundError as error:
        raise missing_extra(str(error.name), "estimate", "segface-edge estimate") from error
    if precision is not None:
        known(precision)
    if every == bool(names):
        problem = "says it all, --device then says nothing" if every else "is not given"
        raise UsageError(
            "--all" if every else "--device", problem, f"use --all, or --device with {', '.join(devices())}"
        )
    chosen = list(devices().values()) if every else [device(name) for name in dict.fromkeys(names)]
    check_json(json_to)
    path = model or zoo.DEFAULT_MODEL
    one = file_work(path, precision=precision)
    frame = one if faces == 1 else file_work(path, faces=faces, precision=precision)
    rows, left_out = _rows(chosen, one, frame, fps, skip=every)
    document = {
        "file": str(path),
        "precision": precision,
        "faces": faces,
        "fps": fps,
        "work": {"one_face": _work(one), "frame": _work(frame)},
        "devices": rows,
        "no_figure": left_out,
    }
    say(document, json_to, "\n".join(_text(document) if every else _single(document)))


def _rows(
    chosen: Sequence[Device], one: Work, frame: Work, fps: float, *, skip: bool
) -> tuple[list[dict[str, Any]], list[str]]:
    """The devices' lines, the lowest bound first, and those that have no figure to bound by."""
    from segface_edge.bench import bound

    rows, left_out = [], []
    for device in chosen:
        try:
            alone, together = (bound.bound(device, work.operations, work.traffic) for work in (one, frame))
        except UsageError:
            if not skip:
                raise
            left_out.append(device.name)
            continue
        rows.append(bound.row(device, alone, together, fps=fps, loose=bound.unfused(device, one.passes)))
    return sorted(rows, key=lambda row: (row["bound_ms"], row["device"])), left_out


def _work(work: Work) -> dict[str, Any]:
    return {
        "calls": work.calls,
        "operations": work.operations,
        "operations_written": work.written,
        "weight_bytes": work.weights,
        "frame_bytes": work.frames,
        "result_bytes": work.results,
    }


def _head(document: dict[str, Any]) -> list[str]:
    one = document["work"]["one_face"]
    counts = ", ".join(f"{count / 1e9:.2f} G in {name}" for name, count in one["operations"].items())
    moved = sum(one[key] for key in ("weight_bytes", "frame_bytes", "result_bytes"))
    return [
        document["file"],
        f"a face: {counts or 'no'} operations at least ({one['operations_written'] / 1e9:.2f} G as the graph has it),",
        f"{moved / 1e6:.1f} MB of weights, frame and labels",
        "",
    ]


def _single(document: dict[str, Any]) -> list[str]:
    lines = _head(document)
    for row in document["devices"]:
        lines += [
            row["title"],
            f"  bound: no call below {_ms(row['bound_ms'])} (arithmetic {_ms(row['arithmetic_ms'])}, memory "
            f"{_ms(row['memory_ms'])})",
            f"  {_rate(document)}: {row['verdict']}; at best {row['fps_at_best']:.0f} frames a second",
            f"  no bound: {_ms(row['unfused_ms'])} if no two operators were fused, each at the peaks",
            *(f"  {_stand_in(name, other)}" for name, other in row["stand_ins"].items()),
            *([f"  figures: {row['note']}"] if row["note"] else []),
            *(f"  {line}" for line in _sources(row)),
        ]
    return [*lines, "", "A bound is no measurement: `segface-edge bench` on the device is."]


def _text(document: dict[str, Any]) -> list[str]:
    lines = _head(document)
    lines += [_rate(document), ""]
    lines.append(f"{'device':<22}{'bound, ms a face':>18}{'frames/s at best':>18}  reaches it")
    for row in document["devices"]:
        mark = " *" if row["stand_ins"] else ""
        lines.append(f"{row['device']:<22}{row['bound_ms']:>18.3f}{row['fps_at_best']:>18.0f}  {row['verdict']}{mark}")
    lines += [f"{name:<22}{_NO_FIGURE:>18}" for name in document["no_figure"]]
    names = dict.fromkeys(name for row in document["devices"] for name in row["stand_ins"])
    lines += ["", *(f"* {_stand_in(name, 'the next narrower type')}" for name in names)]
    return [*lines, "Bounds, no measurements: 'cannot' is as certain as the published peaks, 'may' promises nothing."]


def _rate(document: dict[str, Any]) -> str:
    many = "1 face" if document["faces"] == 1 else f"{document['faces']} faces"
    return f"{document['fps']:g} frames a second of {many}"


def _stand_in(name: str, other: str) -> str:
    return f"no peak of {name} is published: that of {other} stands in, which is no lower"


def _sources(row: dict[str, Any]) -> list[str]:
    figures = [(f"{peak['operations_per_second'] / 1e12:g} TOPS {name}", peak) for name, peak in row["peaks"].items()]
    figures.append((f"{row['bandwidth']['bytes_per_second'] / 1e9:g} GB/s", row["bandwidth"]))
    if row["cache"]:
        figures.append((f"{row['cache']['bytes'] / 1e6:g} MB of caches", row["cache"]))
    return [
        text + (" (half of the sparse figure)" if figure.get("halved") else "") + f": {figure['source']}"
        for text, figure in figures
    ]


def _ms(value: float) -> str:
    return f"{value:.3g} ms"
