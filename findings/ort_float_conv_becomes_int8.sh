#!/usr/bin/env bash
# ONNX Runtime 1.32.0 on a CPU, three convolutions, Q/DQ before and behind each: the first and the last have int8 weights,
# the middle one is left in fp32 on purpose, as one leaves what loses too much. At the default level it becomes int8 like
# the others, and with one scale for all its weights, though both neighbours' have one for each output channel.
# What one would expect: weights without Q/DQ stay floats; a tool that measured which layer int8 spoils, and left that one
# out, gets a better file by it. It gets a worse one: where the channels' weights differ in size (as a depthwise
# convolution's with BatchNorm folded in do), those of the small channels become zeros, more is lost than with that layer
# in int8 by the channel, and nothing is said. The optimiser is called WeightBiasQuantization; without it nothing happens.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'onnxruntime==1.32.0' 'onnx==1.23.2' 'numpy==2.4.6'
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

CHANNELS = 8
rng = np.random.default_rng(0)
# Channels of very different sizes in the middle.
SIZES = np.geomspace(1, 1e-3, CHANNELS).astype(np.float32).reshape(-1, 1, 1, 1)
KERNELS = [rng.standard_normal((CHANNELS, CHANNELS, 1, 1)).astype(np.float32) for _ in range(3)]
KERNELS[1] *= SIZES
KERNELS[2] /= SIZES.reshape(1, -1, 1, 1)


def model(in_int8: list[int]) -> bytes:
    nodes, weights = [], {"zero": np.array(0, np.int8), "zeros": np.zeros(CHANNELS, np.int8)}
    tensor, steps = "x", (0.03, 0.05, 0.05, 40.0)

    def there_and_back(name: str, step: float) -> str:
        weights[f"{name}.s"] = np.array(step, np.float32)
        nodes.append(helper.make_node("QuantizeLinear", [name, f"{name}.s", "zero"], [f"{name}.q"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}.q", f"{name}.s", "zero"], [f"{name}.d"]))
        return f"{name}.d"

    tensor = there_and_back(tensor, steps[0])
    for index, kernel in enumerate(KERNELS):
        if index in in_int8:
            scales = np.abs(kernel).reshape(CHANNELS, -1).max(1) / 127
            weights[f"w{index}.s"] = scales
            weights[f"w{index}.q"] = np.rint(kernel / scales.reshape(-1, 1, 1, 1)).astype(np.int8)
            nodes.append(
                helper.make_node("DequantizeLinear", [f"w{index}.q", f"w{index}.s", "zeros"], [f"w{index}"], axis=0)
            )
        else:
            weights[f"w{index}"] = kernel
        nodes.append(helper.make_node("Conv", [tensor, f"w{index}"], [f"c{index}"]))
        tensor = there_and_back(f"c{index}", steps[index + 1])
    graph = helper.make_graph(
        nodes, "three",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, CHANNELS, 16, 16])],
        [helper.make_tensor_value_info(tensor, onnx.TensorProto.FLOAT, [1, CHANNELS, 16, 16])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)
    onnx.checker.check_model(made)
    return made.SerializeToString()


def ran(content: bytes, left_out: list[str]) -> tuple[np.ndarray, list[str], list[int]]:
    """The result; the convolutions that ran; how many scales the weights of each have that became QLinearConv."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = "ran.onnx"
    session = ort.InferenceSession(
        content, options, providers=["CPUExecutionProvider"], disabled_optimizers=left_out
    )
    graph = onnx.load("ran.onnx").graph
    sizes = {one.name: numpy_helper.to_array(one).size for one in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type.endswith("Conv")]
    x = np.random.default_rng(1).standard_normal((1, CHANNELS, 16, 16)).astype(np.float32)
    return (
        session.run(None, {"x": x})[0],
        [node.op_type for node in convolutions],
        [sizes[node.input[4]] for node in convolutions if node.op_type == "QLinearConv"],
    )


def off(result: np.ndarray, exact: np.ndarray) -> float:
    return float(np.sqrt(((result - exact) ** 2).mean() / (exact**2).mean()))


print("onnxruntime", ort.__version__)
middle_in_fp32, all_in_int8 = model([0, 2]), model([0, 1, 2])
exact, kinds, _ = ran(middle_in_fp32, ["WeightBiasQuantization"])
print("without the optimiser:", kinds)
assert kinds == ["QLinearConv", "Conv", "QLinearConv"], kinds
found, kinds, scales = ran(middle_in_fp32, [])
print("by default:", kinds, "scales of the weights:", scales, f"error {off(found, exact):.3f}")
assert kinds == ["QLinearConv"] * 3, kinds
assert scales == [CHANNELS, 1, CHANNELS], scales
by_channel, kinds, scales = ran(all_in_int8, [])
print("the middle in int8 by the channel:", kinds, scales, f"error {off(by_channel, exact):.3f}")
assert scales == [CHANNELS] * 3, scales
assert off(found, exact) > 3 * off(by_channel, exact)
PY
