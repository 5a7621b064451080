"""int8 for CPUs: bytes from layer to layer, as ONNX Runtime's kernels take them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="an export needs onnx")

import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from segface_edge.engines.ort.optimisation import allowed
from segface_edge.export.int8_cpu import frames_as_bytes, quantise_chains, tensors_to_range
from segface_edge.export.ranges import calibrate, layers

from .small import SIZE, photos, two_convolutions


def in_steps(values: np.ndarray, step: np.ndarray | float, zero: int, low: int, high: int) -> np.ndarray:
    """What is left of values in whole steps."""
    return (np.clip(np.rint(values / step) + zero, low, high) - zero) * step


def test_a_chain_computes_with_bytes() -> None:
    model = two_convolutions()
    ranges = calibrate(model, photos(3), "minmax", tensors=tensors_to_range(model))
    quantised = quantise_chains(model, ["conv", "last"], ranges)
    (frame,) = photos(1)
    found = ReferenceEvaluator(quantised).run(None, {"frames": frame[None]})[0]

    weights = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    w, v = (
        in_steps(
            weights[name],
            np.abs(weights[name]).reshape(len(weights[name]), -1).max(1).reshape(-1, 1, 1, 1) / 127,
            0,
            -127,
            127,
        )
        for name in "wv"
    )
    x = frame.transpose(2, 0, 1)[None] / np.float32(127.5) - 1
    x = in_steps(x, ranges["x"] / 127, 128, 0, 255)
    patches = np.lib.stride_tricks.sliding_window_view(x[0], (3, 3), axis=(1, 2))
    b = np.maximum(np.einsum("chwij,ocij->ohw", patches, w), 0)
    # What is never negative has a step half as wide.
    b = in_steps(b, ranges["b"] / 255, 0, 0, 255)
    c = np.einsum("chw,oc->ohw", b, v[:, :, 0, 0])
    c = in_steps(c, ranges["c"] / 127, 128, 0, 255)
    (resize,) = (node for node in model.graph.node if node.op_type == "Resize")
    large = ReferenceEvaluator(resize).run(None, {"c": c[None].astype(np.float32), "scales": weights["scales"]})[0]
    assert np.abs(found - large).max() <= 1.001 * ranges["c"] / 127  # a rounding may fall to the other side
    assert (np.abs(found - large) < 1e-4 * ranges["c"]).mean() > 0.99


def normalised(means: list[float], scales: list[float]) -> onnx.ModelProto:
    """Frames normalised as the deploy graph does it, and a convolution."""
    weights = {
        "means": np.array(means, np.float32).reshape(-1, 1, 1),
        "scales": np.array(scales, np.float32).reshape(-1, 1, 1),
        "w": np.random.default_rng(0).standard_normal((4, 3, 1, 1)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["frames"], ["floats"], name="cast", to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["first"], name="first", perm=[0, 3, 1, 2]),
        helper.make_node("Sub", ["first", "means"], ["centred"], name="centre"),
        helper.make_node("Mul", ["centred", "scales"], ["x"], name="scale"),
        helper.make_node("Conv", ["x", "w"], ["logits"], name="conv"),
    ]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("frames", TensorProto.UINT8, [1, SIZE, SIZE, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)


def test_frames_of_one_scale_go_in_as_the_bytes_that_they_are() -> None:
    model = normalised([127.0], [1 / 128])
    assert list(frames_as_bytes(model.graph)) == ["x"]
    ranges = dict.fromkeys(tensors_to_range(model), 20.0)
    quantised = quantise_chains(model, ["conv"], ranges)
    assert "Cast" not in {node.op_type for node in quantised.graph.node}
    # Nothing of the frame is lost: where neither weights nor result are rounded, nothing differs.
    exact = onnx.ModelProto()
    exact.CopyFrom(quantised)
    (conv,) = layers(exact)
    conv.input[1], conv.output[0] = "w", "before"
    exact.graph.initializer.append(numpy_helper.from_array(numpy_helper.to_array(model.graph.initializer[2]), "w"))
    exact.graph.output[0].name = "before"
    (frame,) = photos(1)
    feed = {"frames": frame[None]}
    assert np.allclose(
        ReferenceEvaluator(exact).run(["before"], feed)[0], ReferenceEvaluator(model).run(None, feed)[0], atol=1e-5
    )


@pytest.mark.parametrize(
    ("means", "scales"), [([124.0, 116.0, 104.0], [1 / 58]), ([127.5], [1 / 128]), ([127.0], [1 / 58, 1 / 57, 1 / 57])]
)
def test_other_frames_are_quantised(means: list[float], scales: list[float]) -> None:
    assert not frames_as_bytes(normalised(means, scales).graph)


def test_onnx_runtime_multiplies_every_layer_in_int8(traced: Callable[..., onnx.ModelProto], tmp_path: Path) -> None:
    """Of the released default each convolution becomes its kernel of int8, each sum of two likewise; the rest stays."""
    pytest.importorskip("torch", reason="an export needs torch")
    from segface_edge.evaluation.photos import bundled_faces
    from segface_edge.export.constants import fold_batch_norm, plain_weights

    from .conftest import SIZE as SIDE

    model = traced(opset=19)
    plain_weights(model)
    fold_batch_norm(model)
    faces = bundled_faces(SIDE)[:2]
    ranges = calibrate(model, faces, "minmax", tensors=tensors_to_range(model))
    quantised = quantise_chains(model, [node.name for node in layers(model)], ranges)
    onnx.checker.check_model(quantised, full_check=True)
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "ran.onnx")
    options.log_severity_level = 4
    session = ort.InferenceSession(quantised.SerializeToString(), options, providers=["CPUExecutionProvider"])
    ran = [node.op_type for node in onnx.load(tmp_path / "ran.onnx").graph.node]
    assert ran.count("QLinearConv") == len(layers(model))
    assert "Conv" not in ran
    assert ran.count("QLinearAdd") >= 5
    exact = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feed = {"frames": faces[0][None]}
    if not allowed("int8", "cpu", "cpu")[1]:  # elsewhere the engine has it multiplied in fp32
        assert (session.run(None, feed)[0] == exact.run(None, feed)[0]).mean() > 0.95
