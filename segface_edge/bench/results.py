"""`benchmarks/results/<device>/*.json` -> `benchmarks/RESULTS.md`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .gates import read_report
from .record import RECORD_NAME, read_record
from .report import all_rows, machine_lines, ratio_text

HEAD = """# Results

Made by `make results` from `results/<device>/*.json`, which hold every sample. Engines of one table were measured in
turn, in one run; `times the base` is the ratio of latencies to the table's first row with its 95 % interval. It is what
to compare: absolute times move with the machine. A device's `record.json` holds summaries alone.
"""

# Folders of results that are no benchmark reports.
OTHERS = (
    "training",
    "graph",
    "precision",
    "anywhere",
    "front",
    "robustness",
    "family",
    "bound",
    "serve",
    "live",
    "label",
    "runtimes",
    "web",
    "soak",
    "beside",
)


# Warnings that say what two columns of a record's table show.
_IN_COLUMNS = ("latency varies by", "p99 is the slowest of them")


def render(folder: Path) -> str:
    """The text of RESULTS.md.

    Raises:
        InputError: a file is not a benchmark report, or a `record.json` not a device record.
    """
    parts = [HEAD]
    for device in sorted(path for path in folder.iterdir() if path.is_dir() and path.name not in OTHERS):
        paths = sorted(device.glob("*.json"))
        if not paths:
            continue
        parts.append(f"## {device.name}\n")
        machines = []
        for path in paths:
            if path.name == RECORD_NAME:
                document = read_record(path)
                parts.append(_record(document))
                machines += _with_first_row(document)
            else:
                document = read_report(path)
                parts.append(_table(path, document))
                machines.append(document["environment"])
        if machines:
            parts.append("Machine\n\n```\n" + "\n".join(machine_lines(machines[0])) + "\n```\n")
    return "\n".join(parts)


def _table(path: Path, document: dict[str, Any]) -> str:
    scenario, size = document["scenario"], document["engine"]["size"]
    height, width = scenario["photo"]
    ratios = {comparison["engine"]: comparison for comparison in document["comparisons"]}
    lines = [
        f"### {path.stem}",
        "",
        f"{scenario['name']}, {scenario['frames']} photo(s) of {width} x {height} a query, network {size} x {size}, "
        f"{document['engine']['precision']}; stages {', '.join(scenario['stages'])}",
        "",
        "| engine | p50 ms | p90 ms | p99 ms | inference p50 ms | FPS | times the base |",
        "|---|---|---|---|---|---|---|",
    ]
    for entry in all_rows(document):
        name, latency = entry["engine"]["name"], entry["latency_ms"]
        ratio = ratio_text(ratios[name]) if name in ratios else "base"
        figures = [*(f"{latency[column]:.1f}" for column in ("p50", "p90", "p99"))]
        figures += [f"{entry['stages_ms']['inference']['p50']:.1f}", f"{entry['fps']:.1f}"]
        lines.append("| " + " | ".join([name, *figures, ratio]) + " |")
    warnings = [f"- {warning}" for warning in document["warnings"]]
    return "\n".join([*lines, "", *warnings, *([""] if warnings else [])])


def _record(document: dict[str, Any]) -> str:
    lines = [
        f"### {RECORD_NAME.removesuffix('.json')}",
        "",
        f"`segface-edge bench --suite`, {document['began'][:10]}, segface-edge {document['segface_edge']}. Rows were "
        "measured one after the other: a ratio of two is as good as the machine was steady.",
        "",
        "| row | p50 ms | p90 ms | p99 ms | varies by | queries | inference p50 | FPS | runtime | threads | file MB |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in document["rows"]:
        engine, latency = row["engine"], row["latency_ms"]
        cells = [row["name"], *(f"{latency[column]:.1f}" for column in ("p50", "p90", "p99"))]
        cells += [f"{latency['cv']:.0%}", f"{row['scenario']['queries']}"]
        cells += [f"{row['stages_ms']['inference']['p50']:.1f}", f"{row['fps']:.1f}"]
        cells += [f"{engine['runtime']} {engine['version']}", f"{engine['threads']}"]
        cells.append(f"{row['file']['bytes'] / 1e6:.1f}")
        lines.append("| " + " | ".join(cells) + " |")
    remarks = [f"- failed: {entry['name']}: {entry['error']}" for entry in document["failed"]]
    reasons: dict[str, list[str]] = {}
    for entry in document["left_out"]:
        reasons.setdefault(entry["reason"], []).append(entry["name"])
    remarks += [f"- left out, {reason}: {', '.join(names)}" for reason, names in reasons.items()]
    # Some name their row themselves, others speak of the machine meanwhile.
    for row in document["rows"]:
        texts = [text.removeprefix(f"{row['name']}: ") for text in row["warnings"]]
        remarks += [f"- {row['name']}: {text}" for text in texts if not any(one in text for one in _IN_COLUMNS)]
    return "\n".join([*lines, "", *remarks, *([""] if remarks else [])])


def _with_first_row(document: dict[str, Any]) -> list[dict[str, Any]]:
    """A record's environment as a report has it, with what happened during its first row; none where it has no row."""
    durings = [row["during"] for row in document["rows"]]
    return [{**document["environment"], "load": one["before"]["load"], "during": one} for one in durings[:1]]
