"""What a graph must compute and move, against formulas written out here."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="counting needs onnx")
pytest.importorskip("onnxscript", reason="counting needs onnxscript")

from onnx import TensorProto, helper, numpy_helper

from segface_edge import zoo
from segface_edge.errors import InputError
from segface_edge.export.work import file_work, graph_work

# A frame of 3 x 16 x 16, a convolution of 3 x 3 to 8 channels, one of 1 x 1 to 5, results in fp32.
SIDE, CHANNELS, CLASSES = 16, 8, 5


def model(*, batch: int | str = "N", stride: int = 1, stored: type = np.float32) -> onnx.ModelProto:
    weights = {
        "w": np.ones((CHANNELS, 3, 3, 3), stored),
        "v": np.ones((CLASSES, CHANNELS, 1, 1), stored),
        "unread": np.ones(1000, np.float32),
    }
    casts = [helper.make_node("Cast", [name], [f"{name}_"], to=TensorProto.FLOAT) for name in ("w", "v")]
    nodes = [
        *casts,
        helper.make_node("Conv", ["x", "w_"], ["h"], pads=[1, 1, 1, 1], strides=[stride, stride]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Conv", ["r", "v_"], ["y"]),
    ]
    side = SIDE // stride
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, CLASSES, side, side])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)


def test_operations_and_bytes_of_a_graph() -> None:
    work = graph_work(model(), faces=1, batch=None)
    pixels = SIDE * SIDE
    assert work.written == 2 * pixels * (CHANNELS * 3 * 9 + CLASSES * CHANNELS)
    # Of the window of 3 x 3 no algorithm saves one multiplication a result and channel.
    assert work.operations == {"fp32": 2 * pixels * (CHANNELS * 3 + CLASSES * CHANNELS)}
    assert work.weights == 4 * (CHANNELS * 3 * 9 + CLASSES * CHANNELS)
    assert (work.frames, work.results) == (4 * 3 * pixels, 4 * CLASSES * pixels)
    assert work.traffic == work.weights + work.frames + work.results
    assert work.calls == 1


def test_a_window_that_moves_by_two_is_four_windows() -> None:
    # 3 x 3 by 2 x 2: windows of 2 x 2, 2 x 1, 1 x 2 and 1 x 1, one multiplication each.
    work = graph_work(model(stride=2), faces=1, batch=None)
    assert work.operations == {"fp32": 2 * (SIDE // 2) ** 2 * (4 * CHANNELS * 3 + CLASSES * CHANNELS)}


def test_more_faces_share_the_weights() -> None:
    one, five = (graph_work(model(), faces=faces, batch=None) for faces in (1, 5))
    assert five.weights == one.weights
    assert (five.frames, five.results) == (5 * one.frames, 5 * one.results)
    assert five.operations == {"fp32": 5 * one.operations["fp32"]}


def test_a_file_for_two_frames_is_called_as_often_as_faces_need() -> None:
    two, three = (graph_work(model(batch=2), faces=faces, batch=2) for faces in (2, 3))
    assert (two.calls, three.calls) == (1, 2)
    assert three.operations["fp32"] == 2 * two.operations["fp32"]
    assert three.frames == 2 * two.frames
    assert three.weights == two.weights


def test_another_precision_takes_its_own_bytes_and_never_more_than_the_file() -> None:
    count = CHANNELS * 3 * 9 + CLASSES * CHANNELS
    full = {p: graph_work(model(), faces=1, batch=None, precision=p) for p in ("fp32", "fp16", "int8")}
    assert {name: work.weights for name, work in full.items()} == {"fp32": 4 * count, "fp16": 2 * count, "int8": count}
    assert {name: list(work.operations) for name, work in full.items()} == {name: [name] for name in full}
    # What goes in and comes out stays as it is.
    assert len({(work.frames, work.results) for work in full.values()}) == 1
    half = graph_work(model(stored=np.float16), faces=1, batch=None)
    assert half.weights == 2 * count
    assert half.operations.keys() == {"fp32"}


def test_a_product_behind_int8_is_of_int8() -> None:
    scale = {"s": np.array(0.1, np.float32), "z": np.array(0, np.int8), "w": np.ones((7, 3), np.int8)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["dq"]),
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["dw"]),
        helper.make_node("MatMul", ["dq", "dw"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [5, 7])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [5, 3])],
        [numpy_helper.from_array(value, name) for name, value in scale.items()],
    )
    found = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)
    work = graph_work(found, faces=5, batch=5)
    assert work.operations == {"int8": 2 * 5 * 7 * 3}
    # The weights as stored, not as fp32 behind DequantizeLinear, and the scale and zero with them.
    assert work.weights == 7 * 3 + 4 + 1


def test_the_released_model() -> None:
    work = file_work(zoo.DEFAULT_MODEL)
    assert work.frames == 320 * 320 * 3
    assert work.results == 320 * 320
    assert work.weights <= zoo.DEFAULT_MODEL.stat().st_size
    assert sum(work.operations.values()) < work.written
    assert sum(operations for _, operations, _ in work.passes) == work.written


def test_a_file_that_is_none_is_named() -> None:
    with pytest.raises(InputError, match=r"absent\.onnx"):
        file_work(zoo.DEFAULT_MODEL.with_name("absent.onnx"))
