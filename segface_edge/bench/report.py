"""Samples -> report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from segface_edge.engines import Engine
from segface_edge.imaging import UInt8Array

from .environment import environment
from .single_stream import Samples

REPORT_VERSION = 1
PERCENTILES = (50, 90, 95, 99)


def summary(milliseconds: Sequence[float]) -> dict[str, float]:
    """p50, p90, p95, p99 (nearest rank: each is a time that was measured), mean, min, max; milliseconds."""
    values = np.asarray(milliseconds, float)
    found = {f"p{p}": float(np.percentile(values, p, method="inverted_cdf")) for p in PERCENTILES}
    return {**found, "mean": float(values.mean()), "min": float(values.min()), "max": float(values.max())}


def report(engine: Engine, photo: UInt8Array, samples: Samples, *, open_ms: float) -> dict[str, Any]:
    """The JSON document of `segface-edge bench`, version 1.

    `latency_ms` is a whole photo, from pixels in memory to the label map in the photo's pixels: fit, inference,
    restore. `stages_ms` has each of them. `fps` is 1000 / mean latency.
    """
    latency = summary(samples.frames)
    return {
        "version": REPORT_VERSION,
        "engine": {
            "file": engine.source,
            "device": engine.device,
            **engine.describe(),
            "graph": engine.spec.graph,
            "precision": engine.spec.precision,
            "size": engine.spec.size,
        },
        "scenario": {
            "name": "single-stream",
            "batch": 1,
            "photo": [int(side) for side in photo.shape[:2]],
            "transfers_included": True,
            "decode_included": False,
            "runs": len(samples.frames),
            "warmup_runs": samples.warmup_runs,
        },
        "latency_ms": latency,
        "fps": 1000 / latency["mean"],
        "stages_ms": {name: summary(values) for name, values in samples.stages.items()},
        "open_ms": open_ms,
        "first_ms": samples.first_ms,
        "samples_ms": {name: [round(value, 4) for value in values] for name, values in samples.stages.items()},
        "environment": environment(),
    }


def text(document: dict[str, Any]) -> str:
    """The report as a table for people."""
    engine, scenario, machine = document["engine"], document["scenario"], document["environment"]
    columns = ("p50", "p90", "p95", "p99", "mean")
    rows = [("whole photo", document["latency_ms"]), *((f"  {k}", v) for k, v in document["stages_ms"].items())]
    height, width = scenario["photo"]
    packages = " ".join(f"{name} {found}" for name, found in machine["packages"].items())
    return "\n".join(
        [
            f"{engine['file']}: {engine['runtime']} {engine['version']} on {engine['device']}, "
            f"{engine['size']} x {engine['size']}, {engine['precision']}, threads {engine['threads']}",
            f"single-stream, photo {width} x {height}, {scenario['runs']} runs, {scenario['warmup_runs']} before",
            "",
            f"{'ms':<14}" + "".join(f"{name:>9}" for name in columns),
            *(f"{name:<14}" + "".join(f"{values[column]:>9.2f}" for column in columns) for name, values in rows),
            "",
            f"{document['fps']:.1f} FPS   (model opened in {document['open_ms']:.0f} ms, "
            f"first photo {document['first_ms']:.0f} ms)",
            f"on: {machine['machine']}, {machine['cpu']}, {machine['cores']} cores, load {machine['load']}",
            f"    {machine['os']}, Python {machine['python']}, {packages}",
        ]
    )
