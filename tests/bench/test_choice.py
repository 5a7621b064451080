"""Engines named on the command line, opened to be measured."""

from __future__ import annotations

from segface_edge import zoo
from segface_edge.bench.choice import openers


def test_an_engine_is_opened_and_timed() -> None:
    words = [f"{zoo.DEFAULT_MODEL}@threads=1", str(zoo.DEFAULT_MODEL)]
    first, second = openers(words, device="cpu", threads=None).values()
    engine, startup = first()
    with engine:
        assert engine.describe()["threads"] == 1
    assert startup.open_ms > 0
    again, startup = second()
    again.close()
    assert startup.import_ms is None


def test_what_a_word_does_not_say_is_the_command_s() -> None:
    words = [f"{zoo.DEFAULT_MODEL}@threads=1", str(zoo.DEFAULT_MODEL)]
    threads = []
    for opener in openers(words, device="cpu", threads=2).values():
        engine, _ = opener()
        with engine:
            threads.append(engine.describe()["threads"])
    assert threads == [1, 2]


def test_the_same_word_twice_is_two_engines() -> None:
    assert list(openers(["a.onnx", "b.onnx", "a.onnx", "a.onnx"], device="cpu", threads=None)) == [
        "a.onnx",
        "b.onnx",
        "a.onnx (2)",
        "a.onnx (3)",
    ]
