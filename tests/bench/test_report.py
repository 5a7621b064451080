"""Samples -> report: the statistics, the keys of the document, and a machine that is always described."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segface_edge.bench import environment as machine
from segface_edge.bench.report import report, summary, text
from segface_edge.bench.single_stream import Samples

MakeEngine = Callable[..., Any]
ENVIRONMENT = ["machine", "cpu", "cores", "governor", "load", "memory_mib", "os", "python", "packages"]
INFERENCE = [float(value) for value in range(1, 101)]
SAMPLES = Samples({"fit": [2.0] * 100, "inference": INFERENCE, "restore": [1.0] * 100}, first_ms=250.0, warmup_runs=7)


@pytest.fixture
def document(constant_engine: MakeEngine) -> dict[str, Any]:
    engine = constant_engine(np.zeros((32, 32)))
    return report(engine, np.zeros((40, 60, 3), np.uint8), SAMPLES, open_ms=12.5)


def nearest_rank(values: list[float], percent: int) -> float:
    """The smallest value that at least `percent` of the values do not exceed."""
    return sorted(values)[math.ceil(percent * len(values) / 100) - 1]


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200))
def test_percentiles_are_nearest_rank(values: list[float]) -> None:
    found = summary(values)
    for percent in (50, 90, 95, 99):
        assert found[f"p{percent}"] == nearest_rank(values, percent)
    assert found["mean"] == pytest.approx(math.fsum(values) / len(values))
    assert (found["min"], found["max"]) == (min(values), max(values))


def test_percentiles_are_times_that_were_measured() -> None:
    assert summary([1.0, 2.0, 10.0, 50.0]) == {
        "p50": 2.0, "p90": 50.0, "p95": 50.0, "p99": 50.0, "mean": 15.75, "min": 1.0, "max": 50.0,
    }  # fmt: skip


def test_one_sample_is_every_percentile() -> None:
    assert set(summary([3.0]).values()) == {3.0}


def test_latency_is_that_of_the_whole_photo(document: dict[str, Any]) -> None:
    assert document["latency_ms"] == {
        "p50": 53.0, "p90": 93.0, "p95": 98.0, "p99": 102.0, "mean": 53.5, "min": 4.0, "max": 103.0,
    }  # fmt: skip
    assert document["fps"] == 1000 / 53.5


def test_stages_have_their_own_figures_and_their_means_sum_to_the_photos(document: dict[str, Any]) -> None:
    stages = document["stages_ms"]
    assert list(stages) == ["fit", "inference", "restore"]
    assert stages["inference"]["p50"] == 50.0
    assert stages["inference"]["p99"] == 99.0
    assert all(set(values) == set(document["latency_ms"]) for values in stages.values())
    assert sum(values["mean"] for values in stages.values()) == document["latency_ms"]["mean"]


def test_the_document_has_the_keys_that_others_read(document: dict[str, Any]) -> None:
    assert document["version"] == 1
    for key in ("engine", "scenario", "latency_ms", "fps", "stages_ms", "open_ms", "first_ms", "samples_ms"):
        assert key in document
    assert {"p50", "p90", "p95", "p99", "mean"} <= set(document["latency_ms"])
    assert list(document["environment"]) == ENVIRONMENT


def test_the_document_says_what_was_measured(document: dict[str, Any]) -> None:
    assert document["engine"] == {
        "file": "constant", "device": "cpu", "runtime": "constant", "version": "1", "threads": 1, "graph": "deploy",
        "precision": "fp32", "size": 32,
    }  # fmt: skip
    assert document["scenario"] == {
        "name": "single-stream", "batch": 1, "photo": [40, 60], "transfers_included": True, "decode_included": False,
        "runs": 100, "warmup_runs": 7,
    }  # fmt: skip
    assert (document["open_ms"], document["first_ms"]) == (12.5, 250.0)


def test_raw_samples_are_kept(document: dict[str, Any]) -> None:
    assert document["samples_ms"] == {"fit": [2.0] * 100, "inference": INFERENCE, "restore": [1.0] * 100}


def test_the_document_is_json(document: dict[str, Any]) -> None:
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_the_text_shows_the_documents_figures(document: dict[str, Any]) -> None:
    lines = text(document).splitlines()
    row = next(line for line in lines if line.startswith("whole photo"))
    assert row.split() == ["whole", "photo", "53.00", "93.00", "98.00", "102.00", "53.50"]
    assert next(line for line in lines if line.split()[:1] == ["inference"]).split()[1] == "50.00"
    assert any("18.7 FPS" in line for line in lines)
    assert any("photo 60 x 40, 100 runs, 7 before" in line for line in lines)


def test_the_environment_of_this_machine_is_whole() -> None:
    found = machine.environment()
    assert list(found) == ENVIRONMENT
    assert found["cores"] >= 1
    assert found["python"] == platform.python_version()
    assert found["packages"]["numpy"] == np.__version__
    assert "onnxruntime" in found["packages"]
    assert json.loads(json.dumps(found)) == found


def test_what_cannot_be_read_is_unknown_and_never_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", unreadable)
    monkeypatch.setattr(platform, "machine", lambda: "")
    monkeypatch.setattr(platform, "processor", lambda: "")
    for name in ("sched_getaffinity", "getloadavg"):
        monkeypatch.delattr(os, name, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    monkeypatch.setattr(machine, "package_version", lambda _: None)
    found = machine.environment()
    assert list(found) == ENVIRONMENT
    for key in ("machine", "cpu", "cores", "governor", "load", "memory_mib"):
        assert found[key] == "unknown", key
    assert found["packages"] == {}


def test_a_board_is_named_as_its_device_tree_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "/proc/device-tree/model": "NVIDIA Jetson Orin Nano\0",
        "/proc/cpuinfo": "processor\t: 0\nmodel name\t: ARMv8 Processor rev 1 (v8l)\n",
        "/proc/meminfo": "MemTotal:        7990272 kB\nMemFree: 1 kB\n",
        "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "schedutil\n",
    }
    monkeypatch.setattr(Path, "read_text", lambda path, **_: files[str(path)])
    found = machine.environment()
    assert (found["machine"], found["cpu"]) == ("NVIDIA Jetson Orin Nano", "ARMv8 Processor rev 1 (v8l)")
    assert (found["memory_mib"], found["governor"]) == (7803, "schedutil")


def test_an_uninstalled_package_has_no_version() -> None:
    assert machine.package_version("no-such-distribution") is None
    assert machine.package_version("numpy") == np.__version__
