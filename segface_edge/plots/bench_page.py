"""A benchmark's report as one page: `bench_page.html` filled in, with its figures and its style sheet within it.

The page asks for nothing from anywhere, and its own policy forbids it to: it can be mailed, archived and opened years
later. Whatever comes from the report is escaped, names of files above all.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from segface_edge import __version__
from segface_edge.bench.report import all_rows, ratio_text

from . import latency, layers
from .inline import NARROW, VARIABLES, WIDE, inline_svg

SLOWEST = 12
_FOLDER = Path(__file__).parent
_SENSORS = {
    "watts": "power, W",
    "temperature_c": "temperature, °C",
    "cpu_mhz": "CPU clock, MHz",
    "gpu_mhz": "GPU clock, MHz",
}
_MACHINE = {
    "machine": "machine", "cpu": "CPU", "cores": "cores", "memory_mib": "memory, MiB", "governor": "governor",
    "os": "system", "python": "Python", "gpu": "GPU", "driver": "driver", "cuda": "CUDA", "tensorrt": "TensorRT",
    "l4t": "L4T", "jetpack": "JetPack", "power_mode": "power mode",
}  # fmt: skip
_STATE = {"cpu_mhz": "CPU clock, MHz", "gpu_mhz": "GPU clock, MHz", "temperature_c": "temperature, °C",
          "throttling": "throttling", "load": "load (of 1, 5, 15 minutes)"}  # fmt: skip


def bench_page(document: dict[str, Any]) -> str:
    """The page of a report of `segface-edge bench`, as HTML.

    Args:
        document: as `report.schema.json` describes it. Entries that a report need not have (`layers`, samples of power
            and clocks) are shown where they are there.
    """
    document = _printable(document)
    rows = all_rows(document)
    kinds = layers.kind_colours([row["layers"] for row in rows if row.get("layers")])
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"ms": _milliseconds, "variable": lambda colour: VARIABLES[colour], "known": _known}
    page = environment.get_template("bench_page.html").render(
        style=Markup((_FOLDER / "bench_page.css").read_text(encoding="utf-8")),
        version=__version__,
        title=", ".join(Path(row["engine"]["file"]).name for row in rows[:1]) + (", …" if rows[1:] else ""),
        rows=rows,
        percentiles=latency.MARKED,
        warnings=document["warnings"],
        distribution=_distribution(rows),
        timeline=_timeline(rows),
        thinning=_thinning(rows),
        states=_states(rows),
        stages=_stages(rows),
        stage_colours={stage: latency.STAGE_COLOURS[stage] for row in rows for stage in row["stages_ms"]},
        kinds=kinds,
        profiles=[_profile(row, key, kinds) for key, row in enumerate(rows) if row.get("layers")],
        comparison=_comparison(document["comparisons"]),
        sentences=[_sentence(one) for one in document["comparisons"]],
        machine=[(label, document["environment"].get(key)) for key, label in _MACHINE.items()],
        packages=document["environment"].get("packages", {}),
        during=document["environment"].get("during", {}),
        state_labels=_STATE,
    )
    return page.rstrip() + "\n"


def _twice(draw: Callable[[float], Figure], key: str, title: str, description: str) -> Markup:
    """A figure in both widths, of which the style sheet shows one."""
    # Made by ElementTree, which escapes what it is given.
    found = [
        f'<div class="{name}">{inline_svg(draw(width), f"{key}-{name}", title, description)}</div>'
        for name, width in (("wide", WIDE), ("narrow", NARROW))
    ]
    return Markup("".join(found))


def _distribution(rows: Sequence[Mapping[str, Any]]) -> Markup:
    said = [
        f"{row['engine']['name']}: " + ", ".join(f"{name} {row['latency_ms'][name]:.1f} ms" for name in latency.MARKED)
        for row in rows
    ]
    return _twice(
        lambda width: latency.distribution_figure(rows, width=width),
        "distribution",
        "Histogram of the milliseconds of a query, by engine",
        "; ".join(said),
    )


def _timeline(rows: Sequence[Mapping[str, Any]]) -> Markup:
    said = []
    for row in rows:
        values = latency.queries(row)
        part = max(1, len(values) // 10)
        first, last = (sorted(side)[len(side) // 2] for side in (values[:part], values[-part:]))
        said.append(f"{row['engine']['name']}: median {first:.1f} ms in the first tenth, {last:.1f} ms in the last")
    return _twice(
        lambda width: latency.timeline_figure(rows, width=width),
        "timeline",
        "Milliseconds of every query in order, by engine",
        "; ".join(said),
    )


def _thinning(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, int, int]]:
    """(engine, samples, dots) where not every sample is a dot."""
    most = latency.dots_of_one(len(rows))
    counts = [(row["engine"]["name"], latency.queries(row)) for row in rows]
    return [(name, len(values), len(latency.thinned(values, most))) for name, values in counts if len(values) > most]


def _states(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, Markup]]:
    """(engine, figure) of what sensors said, of rows that have samples of them."""
    found = []
    for key, row in enumerate(rows):
        power = row.get("power") or {}
        samples = [one for one in power.get("samples") or () if _number(one.get("seconds")) is not None]
        # Parts of a board are within its total.
        counted = [rail.get("total", True) for rail in power.get("rails") or ()]
        readings = [{**one, "watts": _watts(one.get("watts"), counted)} for one in samples]
        series = {
            label: ([one["seconds"] for one in readings], [_number(one.get(what)) for one in readings])
            for what, label in _SENSORS.items()
            if sum(_number(one.get(what)) is not None for one in readings) > 1
        }
        if series:
            name = row["engine"]["name"]
            figure = _twice(
                lambda width, series=series: latency.state_figure(series, width=width),  # type: ignore[misc]
                f"state-{key}",
                f"Sensors of the machine over time, {name}",
                ", ".join(series),
            )
            found.append((name, figure))
    return found


def _watts(value: Any, counted: Sequence[bool]) -> float | None:
    """The sum over the rails that make up the total; None where one of them is not known."""
    if not isinstance(value, Sequence):
        return _number(value)
    own = [one for at, one in enumerate(value) if at >= len(counted) or counted[at]]
    return sum(own) if own and all(_number(one) is not None for one in own) else None


def _number(value: Any) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if number else None


def _stages(rows: Sequence[Mapping[str, Any]]) -> Markup:
    said = []
    for row in rows:
        means = [f"{stage} {one['mean']:.1f} ms" for stage, one in row["stages_ms"].items()]
        said.append(f"{row['engine']['name']}: {', '.join(means)}")
    return _twice(
        lambda width: latency.stages_figure(rows, latency.STAGE_COLOURS, width=width),
        "stages",
        "Mean milliseconds of each stage, by engine",
        "; ".join(said),
    )


def _profile(row: Mapping[str, Any], key: int, kinds: Mapping[str, str]) -> dict[str, Any]:
    profile = row["layers"]
    name = row["engine"]["name"]
    figure = _twice(
        lambda width: layers.blocks_figure(profile, kinds, width=width),
        f"blocks-{key}",
        f"Milliseconds of each block of the network, {name}",
        ", ".join(f"{one['block']} {one['share']:.0%}" for one in profile["blocks"]),
    )
    slowest = sorted(profile["layers"], key=lambda one: -float(one["ms"]))
    return {
        "name": name,
        "figure": figure,
        "slowest": slowest[:SLOWEST],
        "layers": len(slowest),
        **{what: profile[what] for what in ("run_ms", "runs", "layers_ms", "roofline")},
    }


def _comparison(comparisons: Sequence[Mapping[str, Any]]) -> Markup | None:
    if not comparisons:
        return None
    return _twice(
        lambda width: latency.comparison_figure(comparisons, width=width),
        "comparison",
        "Latency of each engine over that of the base, with its 95 % interval",
        "; ".join(f"{one['engine']}: {ratio_text(dict(one))}" for one in comparisons),
    )


def _sentence(one: Mapping[str, Any]) -> dict[str, str]:
    """A comparison in words."""
    away = abs(one["latency_ratio"] - 1)
    verdict = one["verdict"]
    if verdict in ("slower", "faster"):
        verdict = f"{verdict}: it takes {100 * away:.1f} % {'longer' if verdict == 'slower' else 'less time'}"
    return {
        "engine": one["engine"],
        "base": one["base"],
        "ratio": ratio_text(dict(one)),
        "verdict": verdict,
        "from": f"{one['rounds']} rounds in turn, {one['openings']} openings",
    }


def _milliseconds(value: float) -> str:
    """Three digits, which is more than most machines can repeat."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _known(value: Any) -> str:
    """For a table: what was not read is a dash."""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "–" if value in (None, "unknown", "") else str(value)


def _printable(value: Any) -> Any:
    """The report with no letters that HTML and SVG may not hold: names of files may be any bytes."""
    if isinstance(value, str):
        value = value.encode("utf-8", "replace").decode("utf-8")
        return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]", "�", value)
    if isinstance(value, Mapping):
        return {_printable(name): _printable(one) for name, one in value.items()}
    return [_printable(one) for one in value] if isinstance(value, list | tuple) else value
