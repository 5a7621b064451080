"""Gates for CI: a slowdown against an earlier report, a least rate, a longest wait, the most energy."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from segface_edge.documents import read_json
from segface_edge.errors import BenchmarkGateError, InputError

from .report import REPORT_VERSION, all_rows
from .statistics import Ratio, unpaired_ratio

# What runs must have in common to be compared.
_SCENARIO = {"name", "frames", "span", "photo"}


def read_report(path: Path) -> dict[str, Any]:
    """A report that `segface-edge bench --json` wrote.

    Raises:
        InputError: no such file, not a report, or of another version.
    """
    cure = "give a file that `segface-edge bench --json FILE` wrote"
    document = read_json(path, "a benchmark report", cure)
    if not isinstance(document, dict) or document.get("version") != REPORT_VERSION:
        raise InputError(path, f"is not a benchmark report of version {REPORT_VERSION}", cure)
    try:
        for entry in all_rows(document):
            whole = isinstance(entry["engine"]["name"], str) and entry["scenario"].keys() >= _SCENARIO
            queries = _queries(entry)
            # What is not a number would pass every gate.
            if not whole or not queries or not all(0 < float(one) < math.inf for one in queries):
                raise KeyError("samples_ms")
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise InputError(path, "is an incomplete benchmark report", cure) from error
    return document


def slowdown(document: dict[str, Any], base: dict[str, Any], source: Path) -> list[tuple[str, Ratio]]:
    """Latency of each engine over that of the engine of the same name in an earlier report, with an interval.

    The two were measured at different times: it holds as far as the machine was the same and as quiet.

    Raises:
        InputError: the report has no such engine, or was measured in another scenario.
    """
    earlier = {entry["engine"]["name"]: entry for entry in all_rows(base)}
    found = []
    for now in all_rows(document):
        name = now["engine"]["name"]
        if name not in earlier:
            raise InputError(source, f"has no engine '{name}'", f"its engines are: {', '.join(earlier)}")
        then = earlier[name]
        for what in ("name", "frames", "span", "photo"):
            if now["scenario"][what] != then["scenario"][what]:
                raise InputError(
                    source,
                    f"was measured with {what} {then['scenario'][what]}, now it is {now['scenario'][what]}",
                    "compare like with like",
                )
        found.append((name, unpaired_ratio(_queries(now), _queries(then))))
    return found


def check_slowdown(found: list[tuple[str, Ratio]], limit: float, base: Path) -> None:
    """Raises BenchmarkGateError where an engine is slower than in the earlier report by more than `limit` (0.05 is
    5 %) and its interval shows that it is slower at all."""
    for name, ratio in found:
        if ratio.ratio > 1 + limit and (ratio.low is None or ratio.low > 1):
            raise BenchmarkGateError(
                name,
                f"takes {ratio.ratio:.3f} times as long as in {base}, the limit is {1 + limit:g}",
                "find what made it slower, or make a new base",
            )


def check_fps(document: dict[str, Any], least: float) -> None:
    """Raises BenchmarkGateError where an engine's rate is below `least`."""
    for entry in all_rows(document):
        if entry["fps"] < least:
            raise BenchmarkGateError(
                entry["engine"]["name"],
                f"reaches {entry['fps']:.1f} FPS, the gate is {least:g}",
                "use a faster engine, precision or device",
            )


def check_p99(document: dict[str, Any], most_ms: float) -> None:
    """Raises BenchmarkGateError where an engine's p99 is above `most_ms` milliseconds."""
    for entry in all_rows(document):
        if entry["latency_ms"]["p99"] > most_ms:
            raise BenchmarkGateError(
                entry["engine"]["name"],
                f"has a p99 of {entry['latency_ms']['p99']:.2f} ms, the gate is {most_ms:g}",
                "use a faster engine, precision or device, or a quieter machine",
            )


def check_joules(document: dict[str, Any], most: float) -> None:
    """Raises BenchmarkGateError where a photo takes more than `most` joules, or it cannot be said how many."""
    name, joules = document["engine"]["name"], document["power"]["joules_per_photo"]
    if joules is None:
        raise BenchmarkGateError(
            name, f"has too few power samples to say joules a photo, the gate is {most:g}", "measure longer"
        )
    if joules > most:
        raise BenchmarkGateError(
            name,
            f"takes {joules:.3f} J a photo, the gate is {most:g}",
            "use a faster engine or precision, or a lower power mode",
        )


def _queries(entry: dict[str, Any]) -> list[float]:
    return [sum(values) for values in zip(*entry["samples_ms"].values(), strict=True)]
