"""`segface-edge estimate`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("onnxscript", reason="counting needs the packages of an export")

from segface_edge import zoo
from segface_edge.bench.devices import Device, Figure, devices

Cli = Callable[..., Any]


def test_json_has_the_documented_fields(cli: Cli) -> None:
    result = cli("estimate", "--device", "orin-nano-8gb", "--precision", "fp16", "--json", "-")
    assert (result.code, result.err) == (0, "")
    document = json.loads(result.out)
    assert list(document) == ["file", "precision", "faces", "fps", "work", "devices", "no_figure"]
    assert (document["file"], document["precision"]) == (str(zoo.DEFAULT_MODEL), "fp16")
    assert list(document["work"]) == ["one_face", "frame"]
    work = document["work"]["one_face"]
    assert list(work) == [
        "calls", "operations", "operations_written", "weight_bytes", "frame_bytes", "result_bytes",
    ]  # fmt: skip
    (row,) = document["devices"]
    assert list(row) == [
        "device", "title", "bound_ms", "arithmetic_ms", "memory_ms", "fps_at_best", "verdict", "unfused_ms",
        "stand_ins", "peaks", "bandwidth", "cache", "note",
    ]  # fmt: skip
    # 10 TOPS; 68 GB/s of what 8 MB of caches do not hold.
    moved = sum(work[key] for key in ("weight_bytes", "frame_bytes", "result_bytes"))
    arithmetic, memory = 1e3 * work["operations"]["fp16"] / 10e12, 1e3 * (moved - 8e6) / 68e9
    assert (row["arithmetic_ms"], row["memory_ms"]) == pytest.approx((arithmetic, memory))
    assert row["bound_ms"] == max(row["arithmetic_ms"], row["memory_ms"])
    assert row["fps_at_best"] == pytest.approx(1000 / row["bound_ms"])


def test_text_says_bound_and_not_measurement(cli: Cli) -> None:
    result = cli("estimate", zoo.DEFAULT_MODEL, "--device", "l4")
    assert (result.code, result.err) == (0, "")
    for words in ("bound: no call below", "no bound: ", "A bound is no measurement", "half of the sparse figure"):
        assert words in result.out
    assert "https://www.nvidia.com/en-us/data-center/l4/" in result.out


def test_all_is_sorted_and_says_which_device_cannot(cli: Cli) -> None:
    document = json.loads(cli("estimate", "--all", "--fps", 30, "--faces", 2, "--json", "-").out)
    rows = document["devices"]
    assert {row["device"] for row in rows} | set(document["no_figure"]) == set(devices())
    assert [row["bound_ms"] for row in rows] == sorted(row["bound_ms"] for row in rows)
    for row in rows:
        assert row["verdict"] == ("may" if row["fps_at_best"] >= 30 else "cannot")
    # Two faces take as many operations twice, in one call.
    one, two = document["work"]["one_face"], document["work"]["frame"]
    assert two["operations"]["fp32"] == pytest.approx(2 * one["operations"]["fp32"], rel=1e-3)
    assert two["weight_bytes"] == pytest.approx(one["weight_bytes"], rel=0.02)
    text = cli("estimate", "--all", "--faces", 2).out
    assert [line.split()[0] for line in text.splitlines() if line.split()[:1] and line.split()[0] in devices()] == [
        row["device"] for row in rows
    ]
    assert "'cannot' is as certain as the published peaks" in text


def test_a_rate_out_of_reach(cli: Cli) -> None:
    (row,) = json.loads(cli("estimate", "--device", "raspberry-pi-5", "--fps", 1000, "--json", "-").out)["devices"]
    assert row["verdict"] == "cannot"


def test_errors_name_what_there_is(cli: Cli) -> None:
    for arguments, words in (
        (["--device", "nano"], ("device 'nano'", "is unknown", "orin-nano-8gb", "h200")),
        (["--all", "--precision", "fp64"], ("precision 'fp64'", "is unknown", "fp32, fp16, int8")),
        ([], ("--device", "is not given", "--all", "orin-nano-8gb")),
        (["--all", "--device", "l4"], ("--all", "says it all")),
    ):
        result = cli("estimate", *arguments)
        assert (result.code, result.out) == (2, "")
        assert len(result.err.splitlines()) == 1
        assert all(word in result.err for word in words), result.err


def test_a_device_without_the_precision(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = Figure(value=1e12, source="https://example.com")
    old = Device(name="old", title="Old", peaks={"fp32": figure}, bandwidth=figure)
    monkeypatch.setattr("segface_edge.bench.devices.devices", lambda: {"old": old})
    result = cli("estimate", "--device", "old", "--precision", "int8")
    assert (result.code, result.out) == (2, "")
    assert "device 'old': has no published peak of int8, nor of a narrower type; use --precision fp32" in result.err
    document = json.loads(cli("estimate", "--all", "--precision", "int8", "--json", "-").out)
    assert (document["devices"], document["no_figure"]) == ([], ["old"])
    assert "no figure" in cli("estimate", "--all", "--precision", "int8").out
