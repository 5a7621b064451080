"""Rewritings of the exported graph: the same numbers from fewer or quicker operators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("torch", reason="an export needs torch")
onnx = pytest.importorskip("onnx", reason="an export needs onnx")
ort = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper

from segface_edge.export.constants import constants, constants_to_weights, drop_zero_biases, fold_whole_numbers
from segface_edge.export.rewrite import rewrite


def graph(nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], outputs: list[str]) -> onnx.ModelProto:
    """x (1, 4, 6, 8) and the nodes behind it."""
    return helper.make_model(
        helper.make_graph(
            nodes,
            "test",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 4, 6, 8))],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4) for name in outputs],
            [numpy_helper.from_array(value, name) for name, value in weights.items()],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )


def run(model: onnx.ModelProto) -> list[np.ndarray]:
    onnx.checker.check_model(model)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).standard_normal((1, 4, 6, 8), np.float32)
    return list(session.run(None, {"x": x}))


def kinds(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def test_only_an_add_that_a_norm_alone_reads_becomes_a_sum() -> None:
    nodes = [
        helper.make_node("Add", ["x", "x"], ["a"]),
        helper.make_node("LayerNormalization", ["a", "one"], ["y"]),
        helper.make_node("Add", ["x", "y"], ["b"]),
        helper.make_node("LayerNormalization", ["b", "one"], ["z"]),
        helper.make_node("Relu", ["b"], ["w"]),
    ]
    model = graph(nodes, {"one": np.ones(8, np.float32)}, ["z", "w"])
    wanted = run(model)
    rewrite(model)
    assert kinds(model) == {"Sum": 1, "Add": 1, "LayerNormalization": 2, "Relu": 1}
    for one, other in zip(run(model), wanted, strict=True):
        np.testing.assert_array_equal(one, other)


# The second tap of MobileNetV3, of 40 channels, stays a picture beside the first. At stride 8 the last are the logits.
ENLARGED = {
    "mobilenet": [[[1, 1, 2, 2]], [[1, 1, 4, 4]], [[1, 1, 8, 8]]],
    "efficientnet_lite0_s8_b1": [[[1, 1, 2, 2]], [[1, 1, 4, 4]], [[1, 1, 2, 2]]],
}


@pytest.mark.parametrize("dynamic", [pytest.param(False, marks=pytest.mark.slow), True])
@pytest.mark.parametrize(("backbone", "wanted"), ENLARGED.items())
def test_the_deploy_graph_has_nothing_left_to_rewrite(
    traced: Callable[..., onnx.ModelProto], backbone: str, wanted: list[list[list[int]]], dynamic: bool
) -> None:
    """Every enlargement is of channels first, by constant factors; every norm has its Sum; gates are spelt out."""
    exported = traced(backbone=backbone, dynamic=dynamic)
    known = constants(exported.graph)
    assert kinds(exported)["Pad"] == kinds(exported)["HardSigmoid"] == 0
    resizes = [node for node in exported.graph.node if node.op_type == "Resize"]
    scales = [[known[name].tolist() for name in node.input[2:] if name] for node in resizes]
    assert scales == wanted
    # Each norm of the decoder has one, four a block; at stride 8 the head's too, which adds the tap beside.
    assert kinds(exported)["Sum"] == {"mobilenet": 8, "efficientnet_lite0_s8_b1": 5}[backbone]


def test_a_gate_becomes_the_operators_that_it_is() -> None:
    """OpenCV takes a HardSigmoid and the Mul behind it for HardSwish, whatever it scales."""
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["pooled"], name="pool"),
        helper.make_node("HardSigmoid", ["pooled"], ["gate"], name="gate", alpha=1 / 6, beta=0.5),
        helper.make_node("Mul", ["gate", "x"], ["scaled"], name="scale"),
        helper.make_node("HardSigmoid", ["scaled"], ["y"], name="default"),
    ]
    model = graph(nodes, {"axes": np.array([2, 3])}, ["y"])
    before = run(model)
    rewrite(model)
    assert kinds(model) == {"ReduceMean": 1, "Mul": 3, "Add": 2, "Clip": 2}
    np.testing.assert_allclose(run(model)[0], before[0], rtol=0, atol=1e-7)


def test_constants_are_weights_and_no_bias_is_of_zeros() -> None:
    rng = np.random.default_rng(2)
    weights = {
        "v": rng.standard_normal((4, 4, 1, 1)).astype(np.float32),
        "none": np.zeros(4, np.float32),
        "some": np.array([0, 0, 1, 0], np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "v", "none"], ["a"], name="one"),
        helper.make_node("Conv", ["a", "v", "none"], ["b"], name="two"),
        helper.make_node("Conv", ["b", "v", "some"], ["c"], name="three"),
        helper.make_node("Constant", [], ["scales"], name="constant", value_floats=[1.0, 1.0, 2.0, 2.0]),
        helper.make_node("Resize", ["c", "", "scales"], ["y"], name="resize", mode="linear"),
    ]
    model = graph(nodes, weights, ["y"])
    before = run(model)
    constants_to_weights(model.graph)
    drop_zero_biases(model.graph)
    assert kinds(model) == {"Conv": 3, "Resize": 1}
    assert [len(node.input) for node in model.graph.node] == [2, 2, 3, 3]
    assert {weight.name for weight in model.graph.initializer} == {"v", "some", "scales"}
    np.testing.assert_allclose(run(model)[0], before[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("own", [None, [1, 0, 0, 1]])
@pytest.mark.parametrize("pads", [[0, 0, 0, 0, 0, 0, 1, 1], [0, 0, 1, 2, 0, 0, 0, 3]])
def test_a_padding_becomes_the_convolution_s_own(pads: list[int], own: list[int] | None) -> None:
    weight = np.random.default_rng(1).standard_normal((4, 1, 3, 3)).astype(np.float32)
    attributes = {} if own is None else {"pads": own}
    model = graph(
        [
            helper.make_node("Pad", ["x", "pads"], ["a"]),
            helper.make_node("Conv", ["a", "weight"], ["y"], strides=[2, 2], group=4, **attributes),
        ],
        {"pads": np.array(pads), "weight": weight},
        ["y"],
    )
    before = run(model)
    rewrite(model)
    assert kinds(model) == {"Conv": 1}
    assert [weight.name for weight in model.graph.initializer] == ["weight"]
    np.testing.assert_allclose(run(model)[0], before[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("pads", "mode", "value"),
    [
        ([0, 0, 0, 0, 0, 0, 1, 1], "edge", None),
        ([0, 0, 0, 0, 0, 0, 1, 1], "constant", 2.0),
        ([0, 1, 0, 0, 0, 0, 0, 0], "constant", None),
    ],
)
def test_a_padding_of_something_else_stays(pads: list[int], mode: str, value: float | None) -> None:
    channels = 4 + pads[1]
    weights = {"pads": np.array(pads), "weight": np.ones((2, channels, 3, 3), np.float32)}
    names = ["x", "pads"]
    if value is not None:
        weights["value"] = np.array(value, np.float32)
        names.append("value")
    model = graph(
        [helper.make_node("Pad", names, ["a"], mode=mode), helper.make_node("Conv", ["a", "weight"], ["y"])],
        weights,
        ["y"],
    )
    before = run(model)
    rewrite(model)
    assert kinds(model) == {"Pad": 1, "Conv": 1}
    np.testing.assert_array_equal(run(model)[0], before[0])


def test_a_padding_that_is_read_twice_stays() -> None:
    weights = {"pads": np.array([0, 0, 0, 0, 0, 0, 1, 1]), "weight": np.ones((2, 4, 3, 3), np.float32)}
    nodes = [
        helper.make_node("Pad", ["x", "pads"], ["a"]),
        helper.make_node("Conv", ["a", "weight"], ["y"]),
        helper.make_node("Identity", ["a"], ["z"]),
    ]
    model = graph(nodes, weights, ["y", "z"])
    rewrite(model)
    assert kinds(model)["Pad"] == 1


def test_whole_numbers_that_depend_on_nothing_become_constants() -> None:
    """As the exporter writes where a rolled window begins: behind it a shape can be told again."""
    nodes = [
        helper.make_node("Mod", ["shift", "side"], ["start"], name="mod"),
        helper.make_node("Add", ["start", "one"], ["later"], name="add"),
        helper.make_node("Slice", ["x", "later", "end", "axis"], ["part"], name="slice"),
        helper.make_node("Mul", ["part", "half"], ["y"], name="mul"),
    ]
    whole = {"shift": [-3], "side": [8], "one": [1], "end": [8], "axis": [3]}
    weights: dict[str, np.ndarray] = {name: np.array(value, np.int64) for name, value in whole.items()}
    model = graph(nodes, weights | {"half": np.array(0.5, np.float32)}, ["y"])
    wanted = run(model)
    fold_whole_numbers(model.graph)
    assert [node.op_type for node in model.graph.node] == ["Slice", "Mul"]
    assert wanted[0].shape == (1, 4, 6, 2)
    assert all(np.array_equal(a, b) for a, b in zip(run(model), wanted, strict=True))
    shapes = {value.name: value for value in onnx.shape_inference.infer_shapes(model).graph.value_info}
    assert [dim.dim_value for dim in shapes["part"].type.tensor_type.shape.dim] == [1, 4, 6, 2]
