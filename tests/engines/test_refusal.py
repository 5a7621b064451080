"""Why an ONNX file is not opened: ONNX Runtime's reason, a cure that fits, and the exit code of the kind."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime as ort
import pytest

from segface_edge.engines.ort.engine import OrtEngine
from segface_edge.engines.ort.metadata import read_metadata
from segface_edge.errors import IncompatibleEngineError, ModelFileError, SegFaceEdgeError

onnx = pytest.importorskip("onnx", reason="models are made with onnx")

VERSION = re.escape(f"ONNX Runtime {ort.__version__}")


@pytest.fixture
def changed(tiny_model: Callable[..., Path], tmp_path: Path) -> Callable[[Callable[[Any], None]], Path]:
    """A model that keeps the contract, changed and saved."""

    def save(change: Callable[[Any], None]) -> Path:
        path = tiny_model(tmp_path / "model.onnx")
        model = onnx.load(path)
        change(model)
        path.write_bytes(model.SerializeToString())
        return path

    return save


def newer_ir(model: Any) -> None:
    model.ir_version = 99


def newer_opset(model: Any) -> None:
    model.opset_import[0].version = 99


def newer_domain(model: Any) -> None:
    model.opset_import.append(onnx.helper.make_opsetid("ai.onnx.ml", 99))


def unknown_operator(model: Any) -> None:
    model.graph.node[0].op_type = "Wormhole"


def foreign_operator(model: Any) -> None:
    model.opset_import.append(onnx.helper.make_opsetid("com.acme", 1))
    model.graph.node[0].op_type, model.graph.node[0].domain = "Anvil", "com.acme"


def no_code_for_it(model: Any) -> None:
    # In a type that ONNX has and the CPU's provider does not compute in.
    half = onnx.TensorProto.BFLOAT16
    name = model.graph.input[0].name
    model.graph.node.append(onnx.helper.make_node("Cast", [name], ["extra_in"], to=half))
    model.graph.node.append(onnx.helper.make_node("Relu", ["extra_in"], ["extra"]))
    model.graph.output.append(onnx.helper.make_tensor_value_info("extra", half, None))


def weights_elsewhere(model: Any) -> None:
    tensor = next(one for one in model.graph.initializer if one.data_type == onnx.TensorProto.FLOAT)
    tensor.ClearField("raw_data")
    tensor.ClearField("float_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="model.onnx.data")


def broken_graph(model: Any) -> None:
    del model.graph.node[0].input[:]


@pytest.mark.parametrize(
    ("change", "kind", "problem", "cure"),
    [
        (
            newer_ir,
            IncompatibleEngineError,
            rf"IR version 99, {VERSION} reads up to \d+$",
            r"upgrade.*ir_version = \d+",
        ),
        (newer_opset, IncompatibleEngineError, rf"opset 99, {VERSION} knows up to \d+$", "upgrade.*--opset 18"),
        (
            newer_domain,
            IncompatibleEngineError,
            rf"version 99 of the operators 'ai\.onnx\.ml', {VERSION} knows up to \d+$",
            "upgrade.*lower",
        ),
        (unknown_operator, IncompatibleEngineError, f"operator Wormhole, which {VERSION} does not know", "without"),
        (foreign_operator, IncompatibleEngineError, r"operator com\.acme:Anvil, which", "without operators of other"),
        (no_code_for_it, IncompatibleEngineError, r"computes \w+ in a type or version \(\d+\)", "another precision"),
        (weights_elsewhere, ModelFileError, "keeps its weights in another file", "save it as one"),
        (broken_graph, ModelFileError, r"is not a readable ONNX model \(This is an invalid model", "again"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_reason_is_said_and_the_cure_fits(
    changed: Callable[..., Path],
    change: Callable[[Any], None],
    kind: type[SegFaceEdgeError],
    problem: str,
    cure: str,
) -> None:
    path = changed(change)
    for opened in (OrtEngine, read_metadata):
        with pytest.raises(kind) as caught:
            opened(path)
        assert type(caught.value) is kind
        assert caught.value.subject == str(path)
        assert re.search(problem, caught.value.problem), caught.value.problem
        assert re.search(cure, caught.value.cure), caught.value.cure
        assert "onnxruntime_src" not in str(caught.value)


def test_a_newer_ir_version_is_cured_as_the_message_says(changed: Callable[..., Path]) -> None:
    path = changed(newer_ir)
    with pytest.raises(IncompatibleEngineError) as caught:
        OrtEngine(path)
    lower = re.search(r"ir_version = (\d+)", caught.value.cure)
    assert lower is not None
    model = onnx.load(path)
    model.ir_version = int(lower[1])
    onnx.save(model, path)
    OrtEngine(path).close()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a readable ONNX model (it is empty); copy or download it again"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n", "is a Git LFS pointer"),
        (
            b"\n<!DOCTYPE html><html><body>404</body></html>",
            "is a web page, not an ONNX model; download the file itself",
        ),
        (b"PK\x03\x04 archive/data.pkl", "is a zip archive or a PyTorch checkpoint"),
        (
            b"\x40\0\0\0\0\0\0\0" + b'{"a":{"dtype":"F16"}}',
            "is a safetensors file, not an ONNX model; give it the suffix",
        ),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "is a picture, not an ONNX model"),
        (b"\x08\x0a garbage", "is not a readable ONNX model ("),
    ],
)
def test_what_came_instead_of_a_model_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelFileError) as caught:
        OrtEngine(path)
    assert message in str(caught.value)
    assert caught.value.exit_code == 1
