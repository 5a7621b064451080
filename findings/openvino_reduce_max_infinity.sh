#!/usr/bin/env bash
# OpenVINO 2026.4.1, CPU: the largest of values that are all minus infinity (ReduceMax) is -3.4e38, the least number of float32
# that is finite; the smallest of plus infinities (ReduceMin) likewise 3.4e38. So `Equal(x, ReduceMax(x))` is true nowhere in such a row,
# and `x - ReduceMax(x)` minus infinity instead of NaN. Where the axis has at least one finite value, the result is right. ONNX
# Runtime and NumPy give the infinity.
# What one would expect: one of the values that were given.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet openvino==2026.4.1 onnx==1.23.2 onnxruntime==1.32.0
cd "$folder"
venv/bin/python - <<'PY'
import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper, numpy_helper

x = np.full((2, 8, 19), -np.inf, np.float32)
x[0, :, 3] = 1
for kind, sign in (("ReduceMax", 1), ("ReduceMin", -1)):
    axes = numpy_helper.from_array(np.array([-1]), "axes")
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xy"]
    graph = helper.make_graph([helper.make_node(kind, ["x", "axes"], ["y"], keepdims=1)], "one", *[[e] for e in ends], [axes])
    graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape))
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), "one.onnx")
    wanted = onnxruntime.InferenceSession("one.onnx").run(None, {"x": sign * x})[0]
    found = openvino.Core().compile_model("one.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([sign * x])[0]
    print(f"{kind}: a row with a finite value {found[0, 0, 0]}, of infinities alone {found[1, 0, 0]}; ONNX Runtime {wanted[1, 0, 0]}")
    assert np.array_equal(found[0], wanted[0])
    assert np.isinf(wanted[1]).all() and np.isfinite(found[1]).all(), found[1]
PY
