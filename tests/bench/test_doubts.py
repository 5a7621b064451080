"""What a report warns of."""

from __future__ import annotations

from typing import Any

import pytest

from segface_edge.bench.doubts import doubts
from segface_edge.bench.machine import UNKNOWN


def row(**engine: str) -> dict[str, Any]:
    return {
        "engine": {"name": "model.onnx", "device": "cpu", "batch": 1, "precision": "fp32", **engine},
        "scenario": {"frames": 1, "queries": 1000},
        "latency_ms": {"cv": 0.0},
    }


NOTHING = {
    "before": {"cpu_mhz": UNKNOWN, "gpu_mhz": UNKNOWN},
    "after": {"cpu_mhz": UNKNOWN, "gpu_mhz": UNKNOWN},
    "others": 0.0,
    "stolen": 0.0,
}


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_what_is_for_gpus_is_told_on_a_cpu(precision: str) -> None:
    (line,) = doubts([row(precision=precision)], NOTHING)
    assert line.startswith("model.onnx: is for GPUs")
    assert not doubts([row(precision=precision, device="cuda:0")], NOTHING)


def test_an_int8_file_for_a_cpu_is_where_it_belongs() -> None:
    assert not doubts([row(precision="int8", made_for="cpu")], NOTHING)
