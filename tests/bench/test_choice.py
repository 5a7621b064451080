"""Engines named on the command line."""

from __future__ import annotations

import pytest

from segface_edge import zoo
from segface_edge.bench.choice import open_choice, openers, parse_choice
from segface_edge.errors import UsageError


def test_options_follow_the_file() -> None:
    choice = parse_choice("models/a.onnx@threads=2,device=cuda:1", device="cpu", threads=None)
    assert (choice.file, choice.options) == ("models/a.onnx", {"device": "cuda:1", "threads": 2})
    assert choice.name == "models/a.onnx@threads=2,device=cuda:1"


def test_what_the_word_does_not_say_is_the_command_s() -> None:
    assert parse_choice("a.onnx", device="cuda", threads=3).options == {"device": "cuda", "threads": 3}
    assert parse_choice("a.onnx@threads=1", device="cpu", threads=3).options == {"device": "cpu", "threads": 1}


@pytest.mark.parametrize("tail", ["speed=9", "threads", "threads=", "threads=two", "threads=-1", "=1"])
def test_options_that_do_not_exist_are_refused(tail: str) -> None:
    with pytest.raises(UsageError, match=r"--engine a\.onnx@"):
        parse_choice(f"a.onnx@{tail}", device="cpu", threads=None)


def test_an_engine_is_opened_and_timed() -> None:
    engine, startup = open_choice(parse_choice(f"{zoo.DEFAULT_MODEL}@threads=1", device="cpu", threads=None))
    with engine:
        assert engine.describe()["threads"] == 1
    assert startup.open_ms > 0
    again, startup = open_choice(parse_choice(str(zoo.DEFAULT_MODEL), device="cpu", threads=None))
    again.close()
    assert startup.import_ms is None


def test_the_same_word_twice_is_two_engines() -> None:
    assert list(openers(["a.onnx", "b.onnx", "a.onnx", "a.onnx"], device="cpu", threads=None)) == [
        "a.onnx",
        "b.onnx",
        "a.onnx (2)",
        "a.onnx (3)",
    ]
