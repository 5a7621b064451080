"""Gates for CI."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from segface_edge.bench.gates import check_fps, check_joules, check_p99, check_slowdown, read_report, slowdown
from segface_edge.errors import BenchmarkGateError, InputError


def report(*milliseconds: float, fps: float = 50.0) -> dict[str, Any]:
    scenario = {"name": "single-stream", "frames": 1, "span": "frame", "photo": [512, 512]}
    entry = {
        "engine": {"name": "model"},
        "scenario": scenario,
        "fps": fps,
        "samples_ms": {"inference": list(milliseconds)},
    }
    return {"version": 1, **entry, "others": []}


BASE = Path("base.json")


STEADY = [20.0, 20.2, 19.9, 20.1, 20.0] * 6


def test_a_slowdown_beyond_the_limit_fails_with_exit_code_6() -> None:
    found = slowdown(report(*(1.1 * value for value in STEADY)), report(*STEADY), BASE)
    assert found[0][1].ratio == pytest.approx(1.1)
    with pytest.raises(BenchmarkGateError, match=r"1\.100 times as long as in base\.json") as caught:
        check_slowdown(found, 0.05, BASE)
    assert caught.value.exit_code == 6


def test_a_slowdown_within_the_limit_passes() -> None:
    check_slowdown(slowdown(report(*(1.04 * value for value in STEADY)), report(*STEADY), BASE), 0.05, BASE)


def test_a_slowdown_that_the_noise_does_not_show_passes() -> None:
    noisy = [10.0, 40.0, 22.0, 10.0, 45.0, 12.0] * 3
    later = [10.0, 40.0, 35.0, 10.0, 45.0, 14.0] * 3
    found = slowdown(report(*later), report(*noisy), BASE)
    assert found[0][1].ratio > 1.05
    assert found[0][1].low is not None
    assert found[0][1].low < 1
    check_slowdown(found, 0.05, BASE)


@pytest.mark.parametrize(
    ("what", "value"), [("name", "offline"), ("frames", 4), ("span", "engine"), ("photo", [640, 480])]
)
def test_unlike_runs_are_not_compared(what: str, value: object) -> None:
    other = report(*STEADY)
    other["scenario"] = {**other["scenario"], what: value}
    with pytest.raises(InputError, match=rf"base\.json: was measured with {what} "):
        slowdown(report(*STEADY), other, BASE)


def test_an_engine_that_the_earlier_report_lacks_is_an_error() -> None:
    other = report(*STEADY)
    other["engine"] = {"name": "another"}
    with pytest.raises(InputError, match=r"base\.json: has no engine 'model'"):
        slowdown(report(*STEADY), other, BASE)


def test_engines_are_matched_by_name() -> None:
    now, then = report(*STEADY), report(*(2 * value for value in STEADY))
    for document, extra in ((now, 3), (then, 1)):
        other = report(*(extra * value for value in STEADY))
        other["engine"] = {"name": "second"}
        document["others"] = [other]
    then = {**then["others"][0], "version": 1, "others": [then]}
    assert [(name, round(ratio.ratio, 6)) for name, ratio in slowdown(now, then, BASE)] == [
        ("model", 0.5),
        ("second", 3.0),
    ]


def test_a_rate_below_the_gate_fails_with_exit_code_6() -> None:
    check_fps(report(20.0, fps=50.0), 50.0)
    with pytest.raises(BenchmarkGateError, match=r"reaches 50\.0 FPS, the gate is 60") as caught:
        check_fps(report(20.0, fps=50.0), 60.0)
    assert caught.value.exit_code == 6


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"version": 2}', '{"version": 1}', json.dumps(report()), "[" * 100_000,
     '{"version": 1, "others": [], "samples_ms": 3}'],
)  # fmt: skip
def test_files_that_are_no_reports_are_refused_by_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "base.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"base\.json: is "):
        read_report(path)


def test_an_absent_report_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_report(tmp_path / "base.json")


def test_a_report_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "base.json"
    path.write_text(json.dumps(report(*STEADY)))
    assert read_report(path) == report(*STEADY)


def test_a_p99_above_the_gate_fails_with_exit_code_6() -> None:
    document = {**report(20.0), "latency_ms": {"p99": 31.25}}
    check_p99(document, 31.25)
    with pytest.raises(BenchmarkGateError, match=r"model: has a p99 of 31\.25 ms, the gate is 30") as caught:
        check_p99(document, 30)
    assert caught.value.exit_code == 6


@pytest.mark.parametrize(
    ("joules", "message"), [(2.5, r"takes 2\.500 J a photo, the gate is 2;"), (None, "too few power samples")]
)
def test_joules_above_the_gate_or_unknown_fail_with_exit_code_6(joules: float | None, message: str) -> None:
    check_joules({**report(20.0), "power": {"joules_per_photo": 2.0}}, 2.0)
    with pytest.raises(BenchmarkGateError, match=message) as caught:
        check_joules({**report(20.0), "power": {"joules_per_photo": joules}}, 2.0)
    assert caught.value.exit_code == 6


@pytest.mark.parametrize(
    "change",
    [
        {"engine": {"name": ["model"]}},
        {"engine": {"name": {}}},
        {"samples_ms": {"inference": [20.0, float("nan")]}},
        {"samples_ms": {"inference": [20.0, float("inf")]}},
        {"samples_ms": {"inference": [-1.0, 20.0]}},
        {"samples_ms": {"inference": [10**400]}},
        {"samples_ms": {"inference": []}},
    ],
)
def test_reports_whose_samples_are_none_are_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "base.json"
    path.write_text(json.dumps({**report(*STEADY), **change}))
    with pytest.raises(InputError, match="is an incomplete benchmark report"):
        read_report(path)
