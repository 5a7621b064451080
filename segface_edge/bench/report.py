"""Samples -> the report: a document with every raw sample, and its views for people and spreadsheets.

`report.schema.json` beside this file describes the document; `docs/json.md` explains it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .doubts import doubts
from .layers import layers_lines
from .machine import UNKNOWN
from .pipeline import Pipeline
from .power import result
from .scenarios import Samples, Scenario
from .statistics import MIN_OPENINGS, Ratio, paired_ratio, summary

REPORT_VERSION = 1
COLUMNS = ("p50", "p90", "p95", "p99", "mean")


@dataclass(frozen=True, kw_only=True)
class Startup:
    """What it takes before the first query.

    Attributes:
        import_ms: importing the engine's package; None where it was imported already.
        open_ms: making the session, import apart.
    """

    import_ms: float | None
    open_ms: float


def row(name: str, pipeline: Pipeline, scenario: Scenario, samples: Samples, startup: Startup) -> dict[str, Any]:
    """One engine's part of the document. `name` is what the user called it (`model.onnx@threads=1`)."""
    engine = pipeline.engine
    latency = summary(samples.queries)
    document: dict[str, Any] = {
        "engine": {
            "name": name,
            "file": engine.source,
            "device": engine.device,
            **engine.describe(),
            "graph": engine.spec.graph,
            "precision": engine.spec.precision,
            **({} if engine.spec.made_for == "gpu" else {"made_for": engine.spec.made_for}),
            "size": engine.spec.size,
            "batch": engine.spec.batch,
        },
        "scenario": {
            **asdict(scenario),
            "span": pipeline.span,
            "stages": list(samples.stages),
            "photo": [int(side) for side in pipeline.image.shape[:2]],
            "transfers_included": True,
            "queries": len(samples.queries),
            "warmup_queries": samples.warmup_queries,
        },
        "latency_ms": latency,
        "fps": _fps(scenario, samples, latency["mean"]),
        "stages_ms": {stage: summary(values) for stage, values in samples.stages.items()},
        "startup_ms": {"import": startup.import_ms, "open": startup.open_ms, "first": samples.first_ms},
        "camera": None,
        "samples_ms": {stage: [round(value, 4) for value in values] for stage, values in samples.stages.items()},
    }
    if scenario.name == "camera":
        frames = len(samples.queries) + samples.dropped
        document["camera"] = {
            "frames": frames,
            "dropped": samples.dropped,
            "dropped_share": samples.dropped / frames,
            "age_ms": summary(samples.ages_ms),
            "ages_ms": [round(value, 4) for value in samples.ages_ms],
        }
    return document


def _fps(scenario: Scenario, samples: Samples, mean_ms: float) -> float:
    """Photos a second: of the time spent on queries, or, for a camera, of the time that passed."""
    if scenario.name == "camera":
        return len(samples.queries) / samples.seconds
    return 1000 * scenario.frames / mean_ms if mean_ms else 0.0


def report(
    rows: Sequence[dict[str, Any]],
    found: Sequence[Samples],
    machine: dict[str, Any],
    watched: dict[str, Any],
    power: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The document. The first row's entries stand at its top, further engines under `others`; each of these is
    compared with the first.

    Args:
        rows: from `row`, the base of comparisons first.
        found: the rows' samples.
        machine: from `machine.environment`.
        watched: from `machine.Watch.stop`.
        power: from `power.result.document`, where it was measured.
    """
    comparisons = []
    for other, samples in zip(rows[1:], found[1:], strict=True):
        if samples.openings:
            ratio = paired_ratio(samples.openings, found[0].openings)
            comparisons.append(_comparison(other["engine"]["name"], rows[0]["engine"]["name"], ratio))
    return {
        "version": REPORT_VERSION,
        **rows[0],
        "others": list(rows[1:]),
        "comparisons": comparisons,
        "environment": {**machine, "load": watched["before"]["load"], "during": watched},
        "power": power,
        "warnings": doubts(rows, watched) + (result.warnings(power) if power else []),
    }


def _comparison(engine: str, base: str, ratio: Ratio) -> dict[str, Any]:
    if ratio.low is None or ratio.high is None:
        verdict = f"not judged: {ratio.openings} openings, {MIN_OPENINGS} are needed"
    elif ratio.low > 1:
        verdict = "slower"
    elif ratio.high < 1:
        verdict = "faster"
    else:
        verdict = "no difference shown"
    return {
        "engine": engine,
        "base": base,
        "latency_ratio": ratio.ratio,
        "ci95": None if ratio.low is None else [ratio.low, ratio.high],
        "openings": ratio.openings,
        "rounds": ratio.rounds,
        "verdict": verdict,
    }


def all_rows(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a report, the base first."""
    return [document, *document["others"]]


def text(document: dict[str, Any]) -> str:
    """The report for people."""
    lines = []
    for entry in all_rows(document):
        engine, scenario = entry["engine"], entry["scenario"]
        height, width = scenario["photo"]
        lines += [
            f"{engine['name']}: {engine['runtime']} {engine['version']} on {engine['device']}, "
            f"{engine['size']} x {engine['size']}, {engine['precision']}, threads {engine['threads']}",
            f"{scenario['name']}, {scenario['frames']} photo(s) of {width} x {height} a query, "
            f"{scenario['queries']} queries, {scenario['warmup_queries']} before",
            f"{'ms a query':<16}" + "".join(f"{name:>9}" for name in COLUMNS),
        ]
        stages = [(f"  {stage}", values) for stage, values in entry["stages_ms"].items()]
        camera = [("age of result", entry["camera"]["age_ms"])] if entry["camera"] else []
        for name, values in [("all stages", entry["latency_ms"]), *stages, *camera]:
            lines.append(f"{name:<16}" + "".join(f"{values[column]:>9.2f}" for column in COLUMNS))
        if entry["camera"]:
            seen = entry["camera"]
            lines.append(f"dropped {seen['dropped']} of {seen['frames']} frames at {scenario['fps']:g} FPS")
        startup = entry["startup_ms"]
        imported = "" if startup["import"] is None else f"import {startup['import']:.0f} ms, "
        lines += [
            f"{entry['fps']:.1f} FPS   "
            f"({imported}open {startup['open']:.0f} ms, first query {startup['first']:.0f} ms)",
            "",
            *([*layers_lines(entry["layers"]), ""] if "layers" in entry else []),
        ]
    for comparison in document["comparisons"]:
        lines.append(
            f"{comparison['engine']} takes {ratio_text(comparison)} times as long as {comparison['base']}, "
            f"{comparison['rounds']} rounds in turn, {comparison['openings']} openings: {comparison['verdict']}"
        )
    if document["comparisons"]:
        lines.append("")
    power = result.lines(document)
    lines += [*power, ""] if power else []
    lines += [f"warning: {warning}" for warning in document["warnings"]]
    return "\n".join([*lines, *machine_lines(document["environment"])])


def ratio_text(comparison: dict[str, Any]) -> str:
    """`0.912 (95 % interval 0.900 to 0.924)`, the interval where there is one."""
    if comparison["ci95"] is None:
        return f"{comparison['latency_ratio']:.3f}"
    low, high = comparison["ci95"]
    return f"{comparison['latency_ratio']:.3f} (95 % interval {low:.3f} to {high:.3f})"


def machine_lines(machine: dict[str, Any]) -> list[str]:
    """The machine, in two or three lines."""
    during = machine["during"]
    packages = " ".join(f"{name} {found}" for name, found in machine["packages"].items())
    gpu = [] if machine["gpu"] == UNKNOWN else [
        f"    {machine['gpu']}, driver {machine['driver']}, CUDA {machine['cuda']}, TensorRT {machine['tensorrt']}, "
        f"L4T {machine['l4t']}, JetPack {machine['jetpack']}, power mode {machine['power_mode']}"
    ]  # fmt: skip
    return [
        f"on: {machine['machine']}, {machine['cpu']}, {machine['cores']} cores, governor {machine['governor']}, "
        f"{during['before']['cpu_mhz']} MHz, load {machine['load']}, others took {_share(during['others'])}",
        *gpu,
        f"    {machine['os']}, Python {machine['python']}, {packages}",
    ]


def _share(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.0%}"


_FIELDS = ("engine", "runtime", "device", "threads", "size", "precision", "scenario", "frames", "span", "queries",
           "stage", *COLUMNS, "fps", "transfers_included", "watts", "joules_per_photo")  # fmt: skip


def to_csv(document: dict[str, Any]) -> str:
    """A line for each engine and stage (`all` is their sum), milliseconds; power where it was measured."""
    buffer = io.StringIO()
    power = document.get("power") or {}
    writer = csv.DictWriter(buffer, _FIELDS, lineterminator="\n")
    writer.writeheader()
    for entry in all_rows(document):
        engine, scenario = entry["engine"], entry["scenario"]
        shared = {
            "engine": engine["name"],
            "scenario": scenario["name"],
            "fps": round(entry["fps"], 3),
            "watts": power.get("watts"),
            "joules_per_photo": power.get("joules_per_photo"),
            **{key: engine[key] for key in ("runtime", "device", "threads", "size", "precision")},
            **{key: scenario[key] for key in ("frames", "span", "queries", "transfers_included")},
        }
        for stage, values in [("all", entry["latency_ms"]), *entry["stages_ms"].items()]:
            writer.writerow({**shared, "stage": stage, **{column: round(values[column], 4) for column in COLUMNS}})
    return buffer.getvalue()


def to_markdown(document: dict[str, Any]) -> str:
    """A table with a row per engine, the comparisons, the warnings, the machine."""
    lines = [
        "| engine | scenario | photos a query | threads | p50 ms | p90 ms | p99 ms | inference p50 ms | FPS |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for entry in all_rows(document):
        latency, scenario = entry["latency_ms"], entry["scenario"]
        cells = [
            entry["engine"]["name"],
            scenario["name"],
            scenario["frames"],
            entry["engine"]["threads"],
            *(f"{latency[column]:.1f}" for column in ("p50", "p90", "p99")),
            f"{entry['stages_ms']['inference']['p50']:.1f}",
            f"{entry['fps']:.1f}",
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    lines.append("")
    for comparison in document["comparisons"]:
        lines.append(
            f"- `{comparison['engine']}` takes {ratio_text(comparison)} times as long as `{comparison['base']}`: "
            f"{comparison['verdict']}"
        )
    lines += [f"- {line.strip()}" for line in result.lines(document)]
    lines += [f"- warning: {warning}" for warning in document["warnings"]]
    lines += ["", *(line.strip() for line in machine_lines(document["environment"]))]
    return "\n".join(lines) + "\n"
