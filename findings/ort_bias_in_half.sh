#!/usr/bin/env bash
# ONNX Runtime 1.32.0 on a CPU, a convolution in int8 (Q/DQ before and behind it) whose other values are fp16 and whose bias is
# left as floats, as NVIDIA's parser wants it: from the level "basic" on the result is off by twice its largest value. The
# optimiser WeightBiasQuantization makes int32 of the bias, by a scale that is the product of the input's and the kernel's: in
# fp16 that product (here 0.001 x 0.0001) has lost its digits, though either scale is a fine number. Nothing is said.
# What one would expect: levels of optimisation compute the same. Without optimisation, or without that optimiser, they do; so
# does the same file in fp32.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'onnxruntime==1.32.0' 'onnx==1.23.2' 'numpy==2.4.6'
"$folder/venv/bin/python" - <<'PY'
import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

rng = np.random.default_rng(0)
X_SCALE, W_SCALE = 1e-3, 1e-4  # fp16 holds both; their product, 1e-7, is one of its last subnormal numbers


def model(kind: type) -> bytes:
    element = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    weights = {
        "xs": np.array(X_SCALE, kind), "ys": np.array(2e-4, kind), "xz": np.array(0, np.int8),
        "ws": np.full(8, W_SCALE, kind), "wz": np.zeros(8, np.int8),
        "w": rng_weights, "b": bias.astype(kind),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "xs", "xz"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=0),
        helper.make_node("Conv", ["xd", "wd", "b"], ["c"]),
        helper.make_node("QuantizeLinear", ["c", "ys", "xz"], ["yq"]),
        helper.make_node("DequantizeLinear", ["yq", "ys", "xz"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "conv",
        [helper.make_tensor_value_info("x", element, [1, 8, 16, 16])],
        [helper.make_tensor_value_info("y", element, [1, 8, 16, 16])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)
    onnx.checker.check_model(made)
    return made.SerializeToString()


def run(content: bytes, kind: type, level: str, left_out: list[str]) -> np.ndarray:
    options = ort.SessionOptions()
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
    options.log_severity_level = 4
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"], disabled_optimizers=left_out)
    return session.run(None, {"x": x.astype(kind)})[0].astype(np.float64)


x = rng.uniform(-0.1, 0.1, (1, 8, 16, 16))
rng_weights = rng.integers(-127, 128, (8, 8, 1, 1), dtype=np.int8)
bias = rng.uniform(0.01, 0.02, 8)
quantised = np.clip(np.rint(x / X_SCALE), -128, 127) * X_SCALE
wanted = np.einsum("oi,nihw->nohw", rng_weights[:, :, 0, 0] * W_SCALE, quantised) + bias[:, None, None]
print(f"ONNX Runtime {ort.__version__}; largest error over the largest value, of the formula in double:")
errors = {}
for kind in (np.float32, np.float16):
    content = model(kind)
    for level, left_out in (
        ("ORT_DISABLE_ALL", []), ("ORT_ENABLE_BASIC", []), ("ORT_ENABLE_ALL", []),
        ("ORT_ENABLE_ALL", ["WeightBiasQuantization"]),
    ):
        found = run(content, kind, level, left_out)
        error = float(np.abs(found - wanted).max() / np.abs(wanted).max())
        errors[kind.__name__, level, bool(left_out)] = error
        print(f"  {kind.__name__:8} {level:17} {'without WeightBiasQuantization' if left_out else '':31} {error:.4f}")
assert all(error < 0.01 for (kind, *_), error in errors.items() if kind == "float32")
assert errors["float16", "ORT_DISABLE_ALL", False] < 0.02
assert errors["float16", "ORT_ENABLE_ALL", True] < 0.02
assert errors["float16", "ORT_ENABLE_BASIC", False] > 0.1, "the bias keeps its digits now"
assert errors["float16", "ORT_ENABLE_ALL", False] > 0.1, "the bias keeps its digits now"
PY
