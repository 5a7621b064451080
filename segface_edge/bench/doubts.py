"""What a report warns of: figures that are not what they seem to be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .machine import UNKNOWN

# Above these, a report warns.
MAX_CV = 0.05
MAX_CLOCK_MOVE = 0.05
MAX_OTHERS = 0.10
MAX_STOLEN = 0.02
# Precisions whose files ONNX Runtime computes in fp32 on a CPU, unless they are made for one: it has few kernels of
# fp16, and none of int8 for what has fp16 around it (docs/precision.md, "On a CPU").
ON_GPUS = ("fp16", "int8")


def doubts(rows: Sequence[dict[str, Any]], watched: dict[str, Any]) -> list[str]:
    """Warnings, one line each.

    Args:
        rows: from `report.row`.
        watched: from `machine.Watch.stop`.
    """
    found = [
        f"{row['engine']['name']}: latency varies by {row['latency_ms']['cv']:.0%} (coefficient of variation); "
        "measure longer, or on a quieter machine"
        for row in rows
        if row["latency_ms"]["cv"] > MAX_CV
    ]
    for entry in rows:
        engine = entry["engine"]
        frames, batch, name = entry["scenario"]["frames"], engine["batch"], engine["name"]
        if engine["device"] == "cpu" and engine["precision"] in ON_GPUS and engine.get("made_for") != "cpu":
            found.append(
                f"{name}: is for GPUs; on a CPU its {engine['precision']} is widened and computed in fp32, which as a "
                "rule takes longer than the fp32 file"
            )
        if batch is not None and frames % batch:
            found.append(f"{name}: takes {batch} photos a call, a query has {frames}: part of each call is wasted")
        elif batch is not None and frames > batch:
            found.append(f"{name}: takes {batch} photos a call, a query of {frames} is {frames // batch} calls")
        if entry["scenario"]["queries"] < 100:
            found.append(f"{name}: {entry['scenario']['queries']} queries; p99 is the slowest of them, measure longer")
    for key, what in (("cpu_mhz", "CPU"), ("gpu_mhz", "GPU")):
        before, after = watched["before"][key], watched["after"][key]
        if UNKNOWN not in (before, after) and abs(after - before) > MAX_CLOCK_MOVE * before:
            found.append(f"the {what}'s clock moved from {before:.0f} to {after:.0f} MHz; fix it, or warm up longer")
    for key, limit, who in (("others", MAX_OTHERS, "other processes"), ("stolen", MAX_STOLEN, "other machines")):
        if watched[key] != UNKNOWN and watched[key] > limit:
            found.append(f"{who} took {watched[key]:.0%} of this machine's CPU time while it ran")
    return found
