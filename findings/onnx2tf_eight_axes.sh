#!/usr/bin/env bash
# onnx2tf 2.6.9: a Transpose of eight axes (two of them split in two, as a pixel shuffle twice over) comes out wrong: values stand at other
# places than in ONNX Runtime, without an error; of the same with six axes they are right. Seen in LiteRT's own kernels; a larger file
# of this kind does not load with XNNPACK at all ("failed to delegate CONCATENATION", of seven axes).
# What one would expect: the values where ONNX says, or a refusal.
# Needs Python 3.12 or newer, as onnx2tf 2 does: PYTHON names it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.12}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet onnx2tf==2.6.9
cd "$folder"
export PATH="$folder/venv/bin:$PATH"
python - <<'PY'
import subprocess

import numpy as np
import onnx
import onnxruntime
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from onnx import TensorProto, helper, numpy_helper

side, depth = 4, 3


def placed(name: str, split: list[int], perm: list[int]) -> float:
    """Share of the values that stand where ONNX Runtime has them."""
    shape = [int(np.prod(split[:-1])), depth]
    x = np.arange(np.prod(split), dtype=np.float32).reshape(1, *shape)
    weights = {"split": np.array(split), "joined": np.array([1, *shape])}
    nodes = [
        helper.make_node("Mul", ["x", "two"], ["a"]),
        helper.make_node("Reshape", ["a", "split"], ["b"]),
        helper.make_node("Transpose", ["b"], ["c"], perm=perm),
        helper.make_node("Reshape", ["c", "joined"], ["y"]),
    ]
    held = [numpy_helper.from_array(v, k) for k, v in weights.items()] + [numpy_helper.from_array(np.float32(2), "two")]
    ends = [[helper.make_tensor_value_info(end, TensorProto.FLOAT, x.shape)] for end in "xy"]
    graph = helper.make_graph(nodes, name, *ends, held)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), f"{name}.onnx")
    wanted = onnxruntime.InferenceSession(f"{name}.onnx").run(None, {"x": x})[0]
    subprocess.run(["onnx2tf", "-i", f"{name}.onnx", "-o", "out", "-n", "-kat", "x"], check=True, capture_output=True)
    net = Interpreter(
        f"out/{name}_float32.tflite", experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    net.allocate_tensors()
    net.set_tensor(net.get_input_details()[0]["index"], x)
    net.invoke()
    return float((net.get_tensor(net.get_output_details()[0]["index"]) == wanted).mean())


six = placed("six", [1, side, side, 2, 2, depth], [0, 1, 3, 2, 4, 5])
eight = placed("eight", [1, side, side, 2, 2, 2, 2, depth], [0, 1, 3, 5, 2, 4, 6, 7])
print(f"values in their places: six axes {six:.0%}, eight axes {eight:.0%}")
assert six == 1 > eight
PY
