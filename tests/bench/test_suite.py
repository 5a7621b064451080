"""Suites: what is measured, read from TOML."""

from __future__ import annotations

from pathlib import Path

import pytest

from segface_edge import zoo
from segface_edge.bench.suite import Row, read_suite
from segface_edge.errors import InputError

HEAD = """version = 1
[scenario]
warmup_s = 0.0
duration_s = 1.5
min_queries = 2
[backbones]
mobilenet = [64, 96]
"""


def suite_of(folder: Path, text: str) -> Path:
    path = folder / "suite.toml"
    path.write_text(text)
    return path


def test_the_repository_s_suite_answers_what_users_ask(root: Path) -> None:
    suite = read_suite(root / "export" / "suite.toml", zoo.RELEASED)
    assert {row.backbone for row in suite.rows} == zoo.RELEASED.keys()
    assert {row.precision for row in suite.rows} == {"fp32", "fp16", "int8"}
    assert {row.graph for row in suite.rows} == {"deploy", "reference"}
    assert {row.batch for row in suite.rows} == {1, 4, 8}
    # What its comment says of how long it takes.
    engines = [row.engine for row in suite.rows]
    assert (engines.count("onnxruntime"), engines.count("tensorrt")) == (15, 12)
    assert len({row.file for row in suite.rows}) == 8
    assert suite.warmup_s + suite.duration_s <= 15


def test_a_block_is_the_product_of_its_lists_and_a_row_comes_once(tmp_path: Path) -> None:
    blocks = '[[rows]]\nprecisions = ["fp32", "fp16"]\nbatches = [1, 4]\n[[rows]]\nthreads = [2]\n[[rows]]\n'
    suite = read_suite(suite_of(tmp_path, HEAD + blocks), ["mobilenet"])
    names = [row.name for row in suite.rows]
    assert len(names) == len(set(names)) == 2 * (4 + 1)
    assert names[:2] == ["mobilenet-64-fp32-batch1-onnxruntime", "mobilenet-64-fp32-batch4-onnxruntime"]
    assert "mobilenet-96-fp32-batch1-onnxruntime-threads2" in names
    one, four = (suite.scenario(row) for row in suite.rows[:2])
    assert (one.name, one.frames, four.name, four.frames) == ("single-stream", 1, "offline", 4)
    assert (one.warmup_s, one.duration_s, one.min_queries) == (0, 1.5, 2)


def test_the_reference_graph_has_a_file_of_its_own() -> None:
    row = Row(backbone="mobilenet", size=64, graph="reference", precision="fp32", batch=1, engine="tensorrt")
    assert (row.file, row.name) == ("mobilenet-64-reference.onnx", "mobilenet-64-reference-batch1-tensorrt")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "has no 'version' in the suite"),
        ("version = ", "is not a suite"),
        ("\x00", "is not a suite"),
        ("version = " + "[" * 5000, "is not a suite (nested too deeply)"),
        (HEAD.replace("1.5", "9" * 400) + "[[rows]]", "as duration_s in [scenario]; give a number"),
        (HEAD.replace("1.5", "inf") + "[[rows]]", "has inf as duration_s"),
        (HEAD, "has no 'rows' in the suite"),
        (f"rows = []\n{HEAD}", "has no rows; write some"),
        (f"rows = [3]\n{HEAD}", "has no rows; write some"),
        (HEAD.replace("version = 1", "version = 2") + "[[rows]]", "is of version 2; this segface-edge reads 1"),
        (f"colour = 1\n{HEAD}[[rows]]", "has the unknown key 'colour' in the suite; use: version, scenario"),
        (HEAD.replace("min_queries = 2", "") + "[[rows]]", "has no 'min_queries' in [scenario]"),
        (HEAD.replace("= 2", "= 2.5") + "[[rows]]", "has 2.5 as min_queries in [scenario]; give a whole number, 1 or"),
        (HEAD.replace("1.5", "nan") + "[[rows]]", "has nan as duration_s in [scenario]; give a number"),
        (HEAD.replace("1.5", "-1") + "[[rows]]", "has -1 as duration_s"),
        (HEAD.replace("1.5", "true") + "[[rows]]", "has True as duration_s"),
        (HEAD.replace("mobilenet", "resnet") + "[[rows]]", "unknown key 'resnet' in [backbones]; use: mobilenet"),
        (HEAD.replace("[64, 96]", "[65]") + "[[rows]]", "has the size 65 in [backbones]; use multiples of 32"),
        (HEAD.replace("[64, 96]", "64") + "[[rows]]", "has no list as mobilenet in [backbones]"),
        (HEAD.replace("mobilenet = [64, 96]", "") + "[[rows]]", "has an empty [backbones]"),
        (f"{HEAD}[[rows]]\ncolours = [1]", "has the unknown key 'colours' in [[rows]]"),
        (f'{HEAD}[[rows]]\nprecisions = ["fp8"]', "has 'fp8' among the precisions of [[rows]]; use: fp32, fp16, int8"),
        (f"{HEAD}[[rows]]\nprecisions = []", "has no list as precisions in [[rows]]"),
        (f'{HEAD}[[rows]]\nengines = ["torch"]', "has 'torch' among the engines of [[rows]]"),
        (f'{HEAD}[[rows]]\nbackbones = ["convnext"]', "has 'convnext' among the backbones"),
        (f"{HEAD}[[rows]]\nbatches = [0]", "has 0 as batches in [[rows]]; give a whole number, 1 to 256"),
        (f'{HEAD}[[rows]]\nthreads = ["all"]', "has 'all' as threads in [[rows]]"),
        (f'{HEAD}[[rows]]\ngraphs = ["reference"]\nprecisions = ["fp16"]', "has a reference graph that is not fp32"),
        (f'{HEAD}[[rows]]\nthreads = [1]\nengines = ["tensorrt"]', "has threads for tensorrt"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, text: str, problem: str) -> None:
    path = suite_of(tmp_path, text)
    with pytest.raises(InputError) as caught:
        read_suite(path, ["mobilenet"])
    assert str(caught.value).startswith(f"{path}: ")
    assert problem in str(caught.value)
