"""`segface-edge bench`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from segface_edge import zoo
from segface_edge.bench import report
from segface_edge.bench.power.table import open_sensors

Cli = Callable[..., Any]
BRIEF = ("bench", "--warmup", 0, "--duration", 0)


def test_json_has_samples_percentiles_and_the_machine(cli: Cli) -> None:
    result = cli(*BRIEF, "--threads", 1, "--json", "-")
    assert (result.code, result.err) == (0, "")
    document = json.loads(result.out)
    keys = "version engine scenario latency_ms fps stages_ms startup_ms samples_ms comparisons environment warnings"
    assert set(keys.split()) <= document.keys()
    assert document["version"] == 1
    engine, scenario = document["engine"], document["scenario"]
    assert (engine["file"], engine["runtime"], engine["threads"]) == (str(zoo.DEFAULT_MODEL), "onnxruntime", 1)
    assert (engine["device"], engine["graph"], engine["precision"]) == ("cpu", "deploy", "fp32")
    assert engine["providers"] == ["CPUExecutionProvider"]
    assert (scenario["name"], scenario["photo"], scenario["queries"]) == ("single-stream", [512, 512], 10)
    latency = document["latency_ms"]
    assert {"p50", "p90", "p95", "p99", "mean", "min", "max"} <= latency.keys()
    assert latency["min"] <= latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["max"]
    assert document["fps"] == pytest.approx(1000 / latency["mean"])
    assert list(document["stages_ms"]) == list(document["samples_ms"]) == ["fit", "inference", "restore"]
    assert all(len(samples) == 10 for samples in document["samples_ms"].values())
    machine = document["environment"]
    assert {"machine", "cpu", "cores", "governor", "load", "os", "python", "packages"} <= machine.keys()
    assert "onnxruntime" in machine["packages"]


def test_text_shows_stages_and_frames_per_second(cli: Cli, tmp_path: Path) -> None:
    photo, target = tmp_path / "photo.png", tmp_path / "bench.json"
    Image.new("RGB", (64, 48)).save(photo)
    result = cli(*BRIEF, "--engine", zoo.DEFAULT_MODEL, "--image", photo, "--json", target)
    assert (result.code, result.err) == (0, "")
    for word in ("all stages", "  inference", " FPS ", "64 x 48", str(zoo.DEFAULT_MODEL)):
        assert word in result.out
    assert json.loads(target.read_text())["scenario"]["photo"] == [48, 64]


def test_profile_tells_where_the_time_goes(cli: Cli, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="multiplications are counted with onnx")
    pytest.importorskip("matplotlib", reason="plots need matplotlib")
    from segface_edge.export.cost import node_costs

    target, plot = tmp_path / "bench.json", tmp_path / "layers.png"
    result = cli(*BRIEF, "--threads", 1, "--profile", "--profile-plot", plot, "--json", target)
    assert (result.code, result.err) == (0, "")
    document = json.loads(target.read_text())
    schema = json.loads((Path(report.__file__).parent / "report.schema.json").read_text())
    pytest.importorskip("jsonschema", reason="the schema is checked with jsonschema").validate(document, schema)
    layers = document["layers"]
    # Within 10 % of the run, but on a machine that is busy with something else.
    assert 0.5 < layers["layers_ms"] / layers["run_ms"] <= 1.05
    asked = sum(cost.macs for cost in node_costs(onnx.load(zoo.DEFAULT_MODEL)))
    assert [sum(row["macs"] for row in layers[group]) for group in ("blocks", "kinds", "layers")] == [asked] * 3
    for group in ("blocks", "kinds", "layers"):
        assert sum(row["ms"] for row in layers[group]) == pytest.approx(layers["layers_ms"])
        assert sum(row["share"] for row in layers[group]) == pytest.approx(1)
    # The machine's own peaks were measured: no block is many times quicker than they allow.
    assert layers["roofline"]["device"] == "here"
    assert 0 < sum(row["roof_ms"] for row in layers["layers"]) < 3 * layers["layers_ms"]
    assert "where the time goes" in result.out
    with Image.open(plot) as picture:
        assert picture.width > 800


def test_layers_of_a_checkpoint_are_refused(cli: Cli, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="a checkpoint is run with torch")
    result = cli(*BRIEF, "--engine", zoo.RELEASED["mobilenet"], "--profile", "--json", tmp_path / "b.json")
    assert result.code == 2
    assert "does not tell its layers' times; profile an ONNX file or a plan" in result.err


@pytest.mark.parametrize(
    "options",
    [["--duration", -1], ["--warmup", -1], ["--duration", "long"], ["--threads", 0], ["--engine", "model.rknn"]],
)
def test_options_that_do_not_fit_are_refused(cli: Cli, options: list[object]) -> None:
    result = cli(*BRIEF, *options)
    assert (result.code, result.out) == (2, "")
    assert str(options[0]) in result.err or str(options[1]) in result.err


def test_a_place_for_json_that_does_not_exist_is_said_before_measuring(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segface_edge.bench.run.bench", None)
    result = cli("bench", "--json", tmp_path / "absent" / "bench.json")
    assert (result.code, result.out) == (1, "")
    assert "absent/bench.json: cannot be written" in result.err


@pytest.mark.slow
def test_a_checkpoint_is_measured_too(cli: Cli) -> None:
    pytest.importorskip("torch", reason="checkpoints need torch")
    result = cli(*BRIEF, "--engine", zoo.DEFAULT_CHECKPOINT, "--json", "-")
    assert result.code == 0, result.err
    assert json.loads(result.out)["engine"]["runtime"] == "torch"


@pytest.mark.slow
def test_several_engines_are_compared_with_the_first(cli: Cli, tmp_path: Path) -> None:
    table, sheet = tmp_path / "bench.md", tmp_path / "bench.csv"
    one, two = (f"{zoo.DEFAULT_MODEL}@threads={threads}" for threads in (1, 2))
    views = ("--markdown", table, "--csv", sheet)
    result = cli(*BRIEF, "--engine", one, "--engine", two, "--openings", 6, "--min-queries", 6, *views, "--json", "-")
    assert result.code == 0, result.err
    document = json.loads(result.out)
    assert (document["engine"]["name"], document["others"][0]["engine"]["name"]) == (one, two)
    (comparison,) = document["comparisons"]
    assert (comparison["engine"], comparison["base"], comparison["openings"]) == (two, one, 6)
    assert comparison["ci95"][0] <= comparison["latency_ratio"] <= comparison["ci95"][1]
    assert f"| {two} |" in table.read_text()
    assert sheet.read_text().count(two) == 4


@pytest.mark.parametrize(
    ("options", "stages"),
    [
        (("--scenario", "offline", "--frames", 2, "--span", "engine"), ["inference"]),
        (("--scenario", "multi-stream", "--min-queries", 1), ["fit", "inference", "restore"]),
        (
            ("--scenario", "camera", "--span", "all", "--min-queries", 3),
            ["decode", "fit", "inference", "restore", "draw"],
        ),
    ],
)
def test_scenarios_and_spans_can_be_chosen(cli: Cli, options: tuple[object, ...], stages: list[str]) -> None:
    result = cli(*BRIEF, *options, "--json", "-")
    assert result.code == 0, result.err
    document = json.loads(result.out)
    assert document["scenario"]["name"] == options[1]
    assert list(document["stages_ms"]) == stages
    assert (document["camera"] is not None) == (options[1] == "camera")


@pytest.mark.slow
def test_a_gate_that_is_not_reached_ends_with_6_and_keeps_the_report(cli: Cli, tmp_path: Path) -> None:
    target = tmp_path / "bench.json"
    result = cli(*BRIEF, "--min-fps", 1e6, "--json", target)
    assert result.code == 6
    assert "the gate is 1e+06" in result.err.splitlines()[-1]
    slow = json.loads(target.read_text())
    # As if the earlier run had been ten times as fast.
    slow["samples_ms"] = {name: [value / 10 for value in values] for name, values in slow["samples_ms"].items()}
    base = tmp_path / "base.json"
    base.write_text(json.dumps(slow))
    assert cli(*BRIEF, "--compare", base).code == 0
    result = cli(*BRIEF, "--compare", base, "--max-slowdown", "5%")
    assert result.code == 6
    assert f"as long as in {base}" in result.err
    slow["samples_ms"] = {name: [100 * value for value in values] for name, values in slow["samples_ms"].items()}
    base.write_text(json.dumps(slow))
    assert cli(*BRIEF, "--compare", base, "--max-slowdown", "5%", "--min-fps", 0).code == 0


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--max-slowdown", "5%"), 2, "nothing to compare with"),
        (("--compare", "absent.json"), 1, "absent.json: no such file"),
        (("--max-slowdown", "fast"), 2, "not a share such as 5%"),
        (("--scenario", "server"), 2, "use one of: single-stream"),
        (("--span", "half"), 2, "use one of: engine"),
        (("--engine", "a.onnx@speed=9"), 2, "unknown option 'speed=9'"),
        (("--scenario", "camera", "--fps", 0), 2, "--fps 0.0"),
        (("--max-joules", 2), 2, "--max-joules: is about power, which is not measured; give --power, too"),
        (("--idle-s", 2), 2, "--idle-s: is about power"),
        (("--power", "--engine", zoo.DEFAULT_MODEL, "--engine", zoo.DEFAULT_MODEL), 2, "cannot tell 2 engines apart"),
    ],
)
def test_what_makes_no_sense_is_said(cli: Cli, options: tuple[object, ...], code: int, message: str) -> None:
    result = cli(*BRIEF, *options)
    assert (result.code, result.out) == (code, "")
    assert message in result.err


def test_power_is_measured_and_gated(
    cli: Cli, tmp_path: Path, orin_nano: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segface_edge.bench.power.table.open_sensors", lambda: open_sensors(orin_nano))
    target = tmp_path / "bench.json"
    options = (*BRIEF, "--power", "--idle-s", 0.1, "--json", target)
    result = cli(*options, "--max-joules", 1e6, "--max-p99", 1e6)
    assert (result.code, result.err) == (0, "")
    power = json.loads(target.read_text())["power"]
    assert power["watts"] == pytest.approx(4.7)
    assert f"power: {power['joules_per_photo']:.3f} J a photo, 4.70 W; idle 4.70 W" in result.out
    result = cli(*options, "--max-joules", 0)
    assert result.code == 6
    assert "J a photo, the gate is 0" in result.err.splitlines()[-1]
    result = cli(*options, "--max-p99", 0)
    assert result.code == 6
    assert "ms, the gate is 0" in result.err.splitlines()[-1]


def test_a_machine_without_sensors_is_told_in_one_line_before_measuring(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segface_edge.bench.power.table.open_sensors", lambda: open_sensors(tmp_path))
    monkeypatch.setattr("segface_edge.bench.run.bench", None)
    result = cli("bench", "--power")
    assert (result.code, result.out) == (1, "")
    (line,) = result.err.splitlines()
    for sensor in ("ina3221", "tegrastats", "rapl", "nvml"):
        assert f"{sensor}: no " in line
