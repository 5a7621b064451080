"""A build that would compute something else than its file is refused; and a driver that is missing is named as that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from segface_edge.engines.nvidia import fit
from segface_edge.engines.nvidia.build import build
from segface_edge.engines.nvidia.config import BuildConfig
from segface_edge.engines.nvidia.plan import sidecar
from segface_edge.engines.nvidia.quantizers import check_quantizers
from segface_edge.engines.nvidia.run import TensorRTEngine
from segface_edge.errors import IncompatibleEngineError, MissingDependencyError
from segface_edge.spec import METADATA_KEY

from .contracts import SIZE, make
from .tiny import tiny_model, tiny_spec
from .world import VERSIONS, World

Install = Callable[..., World]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """A world in the place of this machine."""
    return lambda *arguments, **options: World(*arguments, **options).install(monkeypatch)


def quantised(path: Path, zero: str, *, name: str = "backbone/q", opset: int = 19) -> Path:
    """A file with one QuantizeLinear, whose zero point is ZERO: a type of numpy's, or nothing."""
    onnx = pytest.importorskip("onnx", reason="the files in question are made with onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    inputs = ["red", "step", *(["zero"] if zero else [])]
    constants = {"axis": np.array([0]), "step": np.float32(2)}
    if zero:
        constants["zero"] = np.array(0, zero)
    nodes = [
        helper.make_node("Cast", ["frames"], ["pixels"], to=kinds.FLOAT),
        helper.make_node("Gather", ["pixels", "axis"], ["reds"], axis=3),
        helper.make_node("Squeeze", ["reds", "three"], ["red"]),
        helper.make_node("QuantizeLinear", inputs, ["q"], name=name),
        helper.make_node("DequantizeLinear", ["q", *inputs[1:]], ["dq"]),
        helper.make_node("Clip", ["dq", "low", "high"], ["few"]),
        helper.make_node("Cast", ["few"], ["labels"], to=kinds.UINT8),
    ]
    constants |= {"three": np.array([3]), "low": np.float32(0), "high": np.float32(2)}
    graph = helper.make_graph(
        nodes,
        "quantised",
        [helper.make_tensor_value_info("frames", kinds.UINT8, ["N", SIZE, SIZE, 3])],
        [helper.make_tensor_value_info("labels", kinds.UINT8, ["N", SIZE, SIZE])],
        [onnx.numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    helper.set_model_props(model, {METADATA_KEY: tiny_spec(size=SIZE).to_json()})
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("zero", "opset", "words"),
    [
        ("uint8", 19, r"node 'backbone/q' \(QuantizeLinear\) is uint8"),
        ("", 19, r"node 'backbone/q' \(QuantizeLinear\) has no zero point: its type is uint8"),
        ("", 13, ".* has no zero point"),
        ("uint16", 21, ".* is uint16"),
    ],
)
@pytest.mark.parametrize("runtime", ["tensorrt", "rtx"])
def test_quantizers_that_nvidia_takes_for_others_are_named(
    install: Install, tmp_path: Path, zero: str, opset: int, words: str, runtime: str
) -> None:
    """Before anything is loaded, so also where the runtime is not there."""
    world = install(VERSIONS[0])
    path = quantised(tmp_path / "model.onnx", zero, opset=opset)
    config = BuildConfig(runtime=runtime, targets=("8.6",) if runtime == "rtx" else ())
    with pytest.raises(IncompatibleEngineError, match=rf"model\.onnx: {words}.*; quantise it symmetrically") as caught:
        build(path, config)
    assert caught.value.exit_code == 5
    assert not world.fake.builds


def test_a_quantizer_without_a_name_is_named_by_its_result(tmp_path: Path) -> None:
    path = quantised(tmp_path / "model.onnx", "uint8", name="")
    with pytest.raises(IncompatibleEngineError, match="node 'q'"):
        check_quantizers(path.read_bytes(), path)


def test_symmetric_int8_is_built(install: Install, tmp_path: Path) -> None:
    world = install(VERSIONS[0])
    build(quantised(tmp_path / "model.onnx", "int8"), BuildConfig())
    assert len(world.fake.builds) == 1


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("outputs", "name", "kind", "words"),
    [
        (("labels",), "labels", "INT32", "labels NxSIZExSIZE object"),
        (("logits",), "logits", "HALF", "logits Nx3xSIZExSIZE float16"),
        (("labels", "confidence"), "frames", "FLOAT", "frames NxSIZExSIZEx3 float32"),
    ],
)
def test_a_network_of_other_types_than_its_files_is_refused(
    install: Install, tmp_path: Path, version: str, outputs: tuple[str, ...], name: str, kind: str, words: str
) -> None:
    world = install(version)
    world.fake.other_types[name] = kind
    words = words.replace("SIZE", str(SIZE))
    with pytest.raises(
        IncompatibleEngineError, match=rf"tiny\.onnx: should have .*; TensorRT's network of it has .*{words}"
    ):
        build(tiny_model(tmp_path / "tiny.onnx", size=SIZE, outputs=outputs), BuildConfig())
    assert not world.fake.builds


@pytest.mark.parametrize("version", VERSIONS)
def test_without_a_driver_a_plan_is_not_called_damaged(
    install: Install, tmp_path: Path, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorRT calls every plan invalid there, in the words that TensorRT-RTX 1.7 was seen to say."""
    world = install(version)
    _, plan, _ = make(tmp_path)
    world.fake.cuda_fails = True
    for here, words in ((False, "there is no NVIDIA driver and GPU here"), (True, "driver version is insufficient")):
        monkeypatch.setattr(fit, "driver_is_here", lambda here=here: here)
        with pytest.raises(MissingDependencyError, match=rf"tiny\.plan: .*{words}"):
            TensorRTEngine(plan)
        # A build that cannot be read back is not the plan's fault, either.
        with pytest.raises(MissingDependencyError, match=words):
            build(tmp_path / "tiny.onnx", BuildConfig())
    # What is no plan is none, whatever else is missing.
    plan.write_bytes(b"no plan at all")
    sidecar(plan).unlink()
    with pytest.raises(IncompatibleEngineError, match="is damaged, or no plan of TensorRT"):
        TensorRTEngine(plan)
    world.check()
