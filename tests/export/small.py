"""A graph of two convolutions, and photos for it: what takes no exporter and no time."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE = 16


def two_convolutions(*, batch: int | str = 1, factor: float = 1.0) -> onnx.ModelProto:
    """Bytes -> pixels between -1 and 1 -> a convolution, ReLU, another one; and a part that int8 has no use for."""
    rng = np.random.default_rng(3)
    weights = {
        "half": np.array(127.5, np.float32),
        "one": np.array(1, np.float32),
        "w": np.float32(factor) * rng.standard_normal((8, 3, 3, 3), np.float32),
        "v": rng.standard_normal((4, 8, 1, 1), np.float32),
        "scales": np.array([1, 1, 4, 4], np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["frames"], ["bytes"], name="cast", to=TensorProto.FLOAT),
        helper.make_node("Div", ["bytes", "half"], ["scaled"], name="scale"),
        helper.make_node("Sub", ["scaled", "one"], ["centred"], name="centre"),
        helper.make_node("Transpose", ["centred"], ["x"], name="first", perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["x", "w"], ["a"], name="conv"),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("Conv", ["b", "v"], ["c"], name="last"),
        helper.make_node("Resize", ["c", "", "scales"], ["logits"], name="resize", mode="linear"),
    ]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("frames", TensorProto.UINT8, [batch, SIZE, SIZE, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)


def photos(count: int) -> list[np.ndarray]:
    """Of all brightnesses; the first is so faint that bins of its own would be the smallest."""
    rng = np.random.default_rng(0)
    found = []
    for index in range(count):
        noise = rng.integers(0, 256, (SIZE, SIZE, 3))
        found.append((127 + (noise - 127) * (index + 0.02) / count).astype(np.uint8))
    return found
