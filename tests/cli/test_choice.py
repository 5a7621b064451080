"""`--model FILE@engine=NAME`, where a command takes a model file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segface_edge import zoo

Cli = Callable[..., Any]


@pytest.fixture
def arguments(photo: Path, labelled: Path, tmp_path: Path) -> dict[str, list[str]]:
    """What else each command needs."""
    return {
        "parse": [str(photo), "-o", str(tmp_path / "out.png")],
        "eval": ["--data", str(labelled)],
        "verify": ["--ref", str(zoo.DEFAULT_MODEL)],
        "label": [str(photo), "-o", str(tmp_path / "labels")],
        "serve": ["--port", "0"],
        "bench": ["--duration", "0.1"],
    }


COMMANDS = ("parse", "eval", "verify", "label", "serve", "bench")
EXTRAS = {"label": "pyarrow", "serve": "starlette"}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("said", "code", "message"),
    [
        ("engine=tflite", 2, "names the unknown engine 'tflite'; use one of: onnxruntime, "),
        ("engin=openvino", 2, "has the unknown option 'engin=openvino'; use threads, device, engine, spec"),
        ("threads=0", 2, "threads is '0'; give a whole number, 1 to 256"),
        ("engine=litert", 5, "is no file that engine 'litert' reads; give one of: .tflite; or leave the engine out"),
    ],
)
def test_an_engine_that_cannot_be_is_one_line(
    cli: Cli, arguments: dict[str, list[str]], command: str, said: str, code: int, message: str
) -> None:
    if command in EXTRAS:
        pytest.importorskip(EXTRAS[command], reason=f"{command} needs its extra")
    result = cli(command, *arguments[command], "--model", f"{zoo.DEFAULT_MODEL}@{said}")
    assert (result.code, result.out) == (code, "")
    assert message in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("command", ["parse", "eval", "verify", "label"])
def test_the_engine_that_was_named_runs_the_file(
    cli: Cli, arguments: dict[str, list[str]], command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a command does with it, it is OpenVINO that computes."""
    openvino = pytest.importorskip("segface_edge.engines.openvino", reason="needs the extra 'openvino'")
    if command in EXTRAS:
        pytest.importorskip(EXTRAS[command], reason=f"{command} needs its extra")
    from segface_edge.evaluation import photos

    monkeypatch.setattr(photos, "bundled_faces", lambda size, real=photos.bundled_faces, **_: real(size)[::24])
    ran = []
    infer = openvino.OpenVINOEngine.run
    monkeypatch.setattr(openvino.OpenVINOEngine, "run", lambda self, frames: ran.append(1) or infer(self, frames))
    word = f"{zoo.DEFAULT_MODEL}@engine=openvino,threads=1"
    result = cli(command, *arguments[command], "--model", word, "--json", "-")
    assert result.code == 0, result.err
    assert ran
    if command == "verify":
        document = json.loads(result.out)
        assert document["candidate"] == f"{zoo.DEFAULT_MODEL.name}@engine=openvino,threads=1"
        assert document["equal"] >= 0.9999


def test_a_reference_may_be_of_another_engine(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino", reason="needs the extra 'openvino'")
    from segface_edge.evaluation import photos

    monkeypatch.setattr(photos, "bundled_faces", lambda size, real=photos.bundled_faces, **_: real(size)[::24])
    word = f"{zoo.DEFAULT_MODEL}@engine=openvino"
    result = cli("verify", "--ref", word, "--model", str(zoo.DEFAULT_MODEL), "--json", "-")
    assert result.code == 0, result.err
    assert json.loads(result.out)["reference"] == f"{zoo.DEFAULT_MODEL.name}@engine=openvino"


def test_a_reference_that_says_what_it_is_takes_no_spec(cli: Cli, tmp_path: Path) -> None:
    """A checkpoint as an ONNX file: neither is a plan."""
    for name in ("weights.safetensors", "model.onnx"):
        word = f"{tmp_path / name}@spec=x.json"
        result = cli("verify", "--ref", word, "--model", str(zoo.DEFAULT_MODEL))
        assert (result.code, result.out) == (2, "")
        said = f"error: --spec x.json: {tmp_path / name} says what it is itself; leave it out\n"
        assert result.err == said
