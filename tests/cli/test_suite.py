"""`segface-edge bench --suite`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segface_edge import zoo
from segface_edge.bench.record import read_record
from segface_edge.bench.suite import Row
from segface_edge.cli.suite import Files
from segface_edge.engines.ort.metadata import read_metadata

Cli = Callable[..., Any]
HEAD = "version = 1\n[scenario]\nwarmup_s = 0.0\nduration_s = 0.0\nmin_queries = 2\n[backbones]\n"


@pytest.fixture
def bundled(tmp_path: Path, released_size: int) -> Path:
    """A suite of the bundled file, which needs no export, and of what cannot be measured here."""
    path = tmp_path / "suite.toml"
    rows = '[[rows]]\nthreads = [1]\n[[rows]]\nprecisions = ["int8"]\n[[rows]]\nengines = ["tensorrt"]\n'
    path.write_text(f"{HEAD}{zoo.DEFAULT_BACKBONE} = [{released_size}]\n{rows}")
    return path


def test_one_command_makes_a_record(cli: Cli, nvidia: Callable[..., Any], bundled: Path, tmp_path: Path) -> None:
    nvidia("10.3.0", tensorrt="absent")
    result = cli("bench", "--suite", bundled, "-o", tmp_path / "out", "--json", "-")
    assert result.code == 0, result.err
    document = json.loads(result.out)
    assert document == json.loads((tmp_path / "out" / "record.json").read_text())
    (row,) = document["rows"]
    assert (row["engine"]["runtime"], row["engine"]["threads"], row["engine"]["device"]) == ("onnxruntime", 1, "cpu")
    assert row["file"]["bytes"] == zoo.DEFAULT_MODEL.stat().st_size
    reasons = [entry["reason"] for entry in document["left_out"]]
    assert [reason.partition(":")[0] for reason in reasons] == [
        "int8 needs photos for its ranges",
        "no TensorRT on a GPU here",
    ]
    assert result.err.startswith(f"… row 1 of 1: {row['name']} (at least 0 s left)")
    again = cli("bench", "--suite", bundled, "-o", tmp_path / "out")
    assert again.code == 0
    assert again.err == "… 1 of 1 rows were measured before\n"
    assert "1 rows, 0 failed, 2 left out" in again.out


@pytest.mark.slow
def test_with_tensorrt_rows_are_plans_too(cli: Cli, nvidia: Callable[..., Any], bundled: Path, tmp_path: Path) -> None:
    nvidia("10.3.0")
    result = cli("bench", "--suite", bundled, "-o", tmp_path / "out", "--json", "-")
    assert result.code == 0, result.err
    engines = [row["engine"] for row in read_record(tmp_path / "out" / "record.json")["rows"]]
    assert [(engine["runtime"], engine["device"]) for engine in engines] == [
        ("onnxruntime", "cpu"),
        ("tensorrt", "cuda:0"),
    ]
    assert engines[1]["file"].endswith(".plan")


def test_a_run_without_a_row_ends_with_1(cli: Cli, tmp_path: Path, bundled: Path) -> None:
    bundled.write_text(bundled.read_text().replace("[[rows]]\nthreads = [1]\n", "").partition("[[rows]]\nengines")[0])
    result = cli("bench", "--suite", bundled, "-o", tmp_path / "out")
    assert (result.code, result.err) == (1, "")
    assert "0 rows, 0 failed, 1 left out" in result.out


def test_a_plan_is_built_for_just_the_row_s_batch(
    nvidia: Callable[..., Any], tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    nvidia("10.3.0")
    path = tiny_model(tmp_path / "tiny.onnx")
    row = Row(backbone="mobilenet", size=32, graph="deploy", precision="fp32", batch=4, engine="tensorrt")
    files = Files(None)
    assert files.missing(row) is None
    engine, _ = files.opener(row, path)()
    with engine:
        assert engine.device.startswith("cuda")
        assert Path(engine.source).parent == tmp_path
    (document,) = tmp_path.glob("tiny-*.plan.json")
    assert json.loads(document.read_text())["batches"] == [4, 4, 4]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("-o", "out"), "-o: is for suites; give --suite"),
        (("--calib-data", "photos"), "--calib-data: is for suites"),
        (("--suite", "s.toml"), "--suite: has no folder to write to; give -o DIR"),
        (("--suite", "s.toml", "-o", "out", "--engine", "m.onnx"), "--suite and --engine: contradict each other"),
        (("--suite", "s.toml", "-o", "out", "--profile"), "--suite and --profile: contradict each other"),
        (("--suite", "s.toml", "-o", "out", "--duration", 5.0), "--suite and --duration: contradict each other"),
        (("--suite", "s.toml", "-o", "out", "--threads", 1), "--suite and --threads: contradict each other"),
    ],
)
def test_options_that_contradict_each_other(cli: Cli, options: tuple[object, ...], message: str) -> None:
    result = cli("bench", *options)
    assert (result.code, result.out) == (2, "")
    (line,) = result.err.splitlines()
    assert message in line


@pytest.mark.slow
def test_files_are_exported_once(cli: Cli, tmp_path: Path) -> None:
    pytest.importorskip("onnxsim", reason="exporting needs onnxsim")
    suite, out = tmp_path / "suite.toml", tmp_path / "out"
    suite.write_text(f"{HEAD}{zoo.DEFAULT_BACKBONE} = [64]\n[[rows]]\nbatches = [1, 2]\n")
    had_torch = "torch" in sys.modules
    result = cli("bench", "--suite", suite, "-o", out)
    assert result.code == 0, result.err
    assert result.err.count("… exporting") == 1
    # What an export leaves behind in a process makes what is measured in it slower.
    assert ("torch" in sys.modules) == had_torch
    (path,) = (out / "files").iterdir()
    assert read_metadata(path).spec.batch is None
    document = read_record(out / "record.json")
    assert [row["scenario"]["frames"] for row in document["rows"]] == [1, 2]
    assert str(tmp_path) not in json.dumps(document)
    # What was measured goes with its row, not with its file.
    (out / "rows" / f"{document['rows'][1]['name']}.json").unlink()
    again = cli("bench", "--suite", suite, "-o", out)
    assert again.code == 0
    assert "exporting" not in again.err
    assert "row 2 of 2" in again.err
