"""A model file and how it is opened, in one word."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from segface_edge import zoo
from segface_edge.errors import IncompatibleEngineError, UsageError
from segface_edge.parsing.choice import BUNDLED, parse_choice


def test_options_follow_the_file() -> None:
    choice = parse_choice("models/a.onnx@threads=2,device=cuda:1,engine=openvino,spec=of/a.onnx")
    assert choice.file == Path("models/a.onnx")
    assert choice.name == "models/a.onnx@threads=2,device=cuda:1,engine=openvino,spec=of/a.onnx"
    said = {"threads": 2, "device": "cuda:1", "engine": "openvino", "spec": Path("of/a.onnx")}
    assert choice.options() == said
    assert choice.title == "a.onnx@threads=2,device=cuda:1,engine=openvino,spec=of/a.onnx"


def test_what_the_word_does_not_say_is_the_command_s() -> None:
    assert parse_choice("a.onnx").options(device="cuda", threads=3) == {"device": "cuda", "threads": 3}
    assert parse_choice("a.onnx@threads=1").options(device="cpu", threads=3) == {"device": "cpu", "threads": 1}
    assert BUNDLED.options(device="cpu", threads=None, spec=None) == {"device": "cpu"}


def test_a_model_s_name_is_its_file() -> None:
    choice = parse_choice(f"{zoo.DEFAULT_BACKBONE}@engine=onnxruntime")
    assert choice.file == zoo.DEFAULT_MODEL
    assert choice.engine == "onnxruntime"


@pytest.mark.parametrize("name", ["a@b/model.onnx", "portraits@home.onnx"])
def test_a_path_may_hold_the_sign_itself(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    shutil.copy(zoo.DEFAULT_MODEL, path)
    assert parse_choice(str(path)).file == path
    assert parse_choice(f"{path}@threads=1").file == path


def test_a_folder_with_the_sign_that_is_not_there_is_a_folder() -> None:
    assert parse_choice("models@home/a.onnx").file == Path("models@home/a.onnx")


@pytest.mark.parametrize(
    "tail",
    ["speed=9", "threads", "threads=", "threads=two", "threads=-1", "threads=0", "threads=257", "=1", "engine=tflite"],
)
def test_options_that_do_not_exist_are_refused(tail: str) -> None:
    with pytest.raises(UsageError, match=r"a\.onnx@"):
        parse_choice(f"a.onnx@{tail}")


@pytest.mark.parametrize(
    ("word", "engine"),
    [
        ("a.onnx", "onnxruntime"),
        ("a.onnx@engine=openvino", "openvino"),
        ("a.xml", "openvino"),
        ("A.TFLITE", "litert"),
        ("a.pt", "torch"),
        ("a.plan", "tensorrt"),
    ],
)
def test_the_engine_follows_from_the_suffix_unless_it_is_said(word: str, engine: str) -> None:
    choice = parse_choice(word)
    assert choice.engine == engine
    assert choice.of_checkpoint == (engine == "torch")


def test_an_engine_that_reads_no_such_files_is_refused() -> None:
    with pytest.raises(IncompatibleEngineError, match=r"a\.xml: is no file that engine 'litert' reads; give one of: "):
        _ = parse_choice("a.xml@engine=litert").engine
