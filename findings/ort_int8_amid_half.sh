#!/usr/bin/env bash
# ONNX Runtime 1.32.0 on a CPU, a convolution in int8 (Q/DQ before, behind, and on its weights) with fp16 around it, as
# files for TensorRT have it: it becomes no int8 kernel at any level of optimisation. Both inputs are dequantised and
# cast to fp32, the convolution runs in fp32, and the constant weights are dequantised and cast anew in every call. The
# same file with fp32 around it becomes one QLinearConv.
# What one would expect: the int8 kernel, since int8 goes in and comes out whatever type the scales have; or at least
# that constants are computed once, when the file is opened, as all others are. Nothing is said, and labels are right:
# only the time tells.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'onnxruntime==1.32.0' 'onnx==1.23.2' 'numpy==2.4.6'
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
from collections import Counter

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper


def model(kind: type) -> bytes:
    element = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    weights = {
        "xs": np.array(0.02, kind), "ys": np.array(0.05, kind), "zero": np.array(0, np.int8),
        "ws": np.full(16, 0.01, kind), "wzero": np.zeros(16, np.int8),
        "w": np.random.default_rng(0).integers(-127, 128, (16, 16, 3, 3), dtype=np.int8),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "zero"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "xs", "zero"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wzero"], ["wd"], axis=0),
        helper.make_node("Conv", ["xd", "wd"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("QuantizeLinear", ["c", "ys", "zero"], ["yq"]),
        helper.make_node("DequantizeLinear", ["yq", "ys", "zero"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "conv",
        [helper.make_tensor_value_info("x", element, [1, 16, 32, 32])],
        [helper.make_tensor_value_info("y", element, [1, 16, 32, 32])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)
    onnx.checker.check_model(made)
    return made.SerializeToString()


def ran(kind: type) -> tuple[Counter[str], list[str]]:
    """Operators that a session of all optimisations runs, and those of them that read nothing but constants."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = "ran.onnx"
    ort.InferenceSession(model(kind), options, providers=["CPUExecutionProvider"])
    graph = onnx.load("ran.onnx").graph
    fixed = {weight.name for weight in graph.initializer}
    constant = []
    for node in graph.node:
        if all(name in fixed for name in node.input if name):
            fixed.update(node.output)
            constant.append(node.op_type)
    return Counter(node.op_type for node in graph.node), constant


print("onnxruntime", ort.__version__)
for kind in (np.float32, np.float16):
    operators, constant = ran(kind)
    print(f"{np.dtype(kind).name}: {dict(operators)}; of constants alone: {constant}")
    if kind is np.float32:
        assert operators["QLinearConv"] == 1 and operators["Conv"] == 0, operators
        assert not constant, constant
    else:
        assert operators["QLinearConv"] == 0 and operators["Conv"] == 1, operators
        assert "DequantizeLinear" in constant, constant
PY
