"""`benchmarks/results/<device>/*.json` -> `benchmarks/RESULTS.md`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .gates import read_report
from .report import all_rows, machine_lines, ratio_text

HEAD = """# Results

Made by `make results` from `results/<device>/*.json`, which hold every sample. Engines of one table were measured in
turn, in one run; `times the base` is the ratio of latencies to the table's first row with its 95 % interval. It is what
to compare: absolute times move with the machine.
"""

# Folders of results that are no benchmark reports.
OTHERS = ("training", "graph", "precision", "anywhere", "front", "robustness", "family", "bound")


def render(folder: Path) -> str:
    """The text of RESULTS.md.

    Raises:
        InputError: a file is not a benchmark report.
    """
    parts = [HEAD]
    for device in sorted(path for path in folder.iterdir() if path.is_dir() and path.name not in OTHERS):
        documents = [(path, read_report(path)) for path in sorted(device.glob("*.json"))]
        if not documents:
            continue
        parts.append(f"## {device.name}\n")
        parts += [_table(path, document) for path, document in documents]
        parts.append("Machine\n\n```\n" + "\n".join(machine_lines(documents[0][1]["environment"])) + "\n```\n")
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
