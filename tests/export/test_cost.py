"""Multiplications and bytes, against numbers counted by hand and against each other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("torch", reason="an export needs torch")
onnx = pytest.importorskip("onnx", reason="an export needs onnx")

from onnx import TensorProto, helper, numpy_helper

from segface_edge.errors import ModelFileError
from segface_edge.export.cost import macs_by_type, node_costs


def graph(nodes: list[onnx.NodeProto], shape: tuple[int, ...], weights: dict[str, np.ndarray]) -> onnx.ModelProto:
    return helper.make_model(
        helper.make_graph(
            nodes,
            "test",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, [None] * len(shape))],
            [numpy_helper.from_array(value, name) for name, value in weights.items()],
        ),
        opset_imports=[helper.make_opsetid("", 19)],
        ir_version=10,
    )


def floats(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


@pytest.mark.parametrize(
    ("node", "shape", "weight", "macs", "numbers"),
    [
        # 8 x 8 x 6 results of 3 x 3 x 4 products; 4 x 8 x 8 read, weights read, 6 x 8 x 8 written.
        (helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1]), (1, 4, 8, 8), floats(6, 4, 3, 3),
         8 * 8 * 6 * 36, 256 + 216 + 384),
        # Depthwise, every second pixel.
        (helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1], strides=[2, 2], group=4), (1, 4, 8, 8),
         floats(4, 1, 3, 3), 4 * 4 * 4 * 9, 256 + 36 + 64),
        # Each of 4 x 8 x 8 values goes into 6 channels of 2 x 2 pixels.
        (helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2]), (1, 4, 8, 8), floats(4, 6, 2, 2),
         256 * 24, 256 + 96 + 6 * 256),
        (helper.make_node("MatMul", ["x", "w"], ["y"]), (2, 5, 7), floats(7, 3), 2 * 5 * 7 * 3, 70 + 21 + 30),
        (helper.make_node("Gemm", ["x", "w"], ["y"], transA=1), (5, 7), floats(5, 3), 5 * 7 * 3, 35 + 15 + 21),
        (helper.make_node("Add", ["x", "w"], ["y"]), (5, 7), floats(7), 0, 35 + 7 + 35),
    ],
    ids=["convolution", "depthwise", "transposed", "product", "gemm", "sum"],
)  # fmt: skip
def test_multiplications_and_bytes_of_a_node(
    node: onnx.NodeProto, shape: tuple[int, ...], weight: np.ndarray, macs: int, numbers: int
) -> None:
    (cost,) = node_costs(graph([node], shape, {"w": weight}))
    assert (cost.macs, cost.bytes, cost.type) == (macs, 4 * numbers, TensorProto.FLOAT)


def test_what_depends_on_weights_alone_is_not_counted() -> None:
    nodes = [helper.make_node("MatMul", ["w", "w"], ["v"]), helper.make_node("MatMul", ["x", "v"], ["y"])]
    (cost,) = node_costs(graph(nodes, (5, 7), {"w": floats(7, 7)}))
    assert cost.macs == 5 * 7 * 7


def test_behind_int8_a_product_is_of_int8() -> None:
    weights = {"s": np.array(0.1, np.float32), "z": np.array(0, np.int8), "w": np.ones((7, 3), np.int8)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["dq"]),
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["dw"]),
        helper.make_node("MatMul", ["dq", "dw"], ["y"]),
        helper.make_node("MatMul", ["x", "dw"], ["z2"]),
    ]
    model = graph(nodes, (5, 7), weights)
    # One factor in int8 does not make a product of int8.
    assert macs_by_type(model) == {"INT8": 105, "FLOAT": 105}


def test_an_unknown_shape_is_an_error() -> None:
    model = graph([helper.make_node("NonZero", ["x"], ["i"]), helper.make_node("Abs", ["i"], ["y"])], (5, 7), {})
    with pytest.raises(ModelFileError, match="unknown shape"):
        node_costs(model)


@pytest.mark.slow
def test_a_graph_of_any_batch_costs_per_frame_what_that_of_one_costs(traced: Callable[..., onnx.ModelProto]) -> None:
    static, dynamic = traced(backbone="mobilenet"), traced(backbone="mobilenet", dynamic=True)
    one = sum(cost.macs for cost in node_costs(static))
    assert macs_by_type(static) == macs_by_type(dynamic) == {"FLOAT": one}
    # But for the first attention of the tokens over themselves, a constant of one frame.
    assert sum(cost.macs for cost in node_costs(dynamic, batch=3)) == pytest.approx(3 * one, rel=1e-3)
    reference = sum(cost.macs for cost in node_costs(traced(backbone="mobilenet", graph="reference")))
    # 13.2 G against 9.0 G at 512 (see docs/deploy-graph.md), the tokens' own share being larger here.
    assert 0.6 < one / reference < 0.8
