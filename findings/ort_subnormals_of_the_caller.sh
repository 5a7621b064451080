#!/usr/bin/env bash
# ONNX Runtime 1.32.0, `session.set_denormal_as_zero = 1`, one thread, x86-64, a product whose results are below 1.2e-38.
# - In a process whose first session has the option, numpy too has lost such numbers: once the session is opened, in that
#   thread and for good, 1e-38 * 0.01 is 0. Closing the session brings nothing back.
# - In a process that has opened any other session before, the option does nothing at all: the same graph, opened with the
#   same options, gives numbers where it gave zeros, at their cost (on an Intel Xeon a softmax whose scores lie 88 apart takes some
#   twenty times as long as one whose scores lie 80 apart).
# What one would expect: an option of a session holds for that session's runs, whichever was opened first, and for nothing else.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'onnxruntime==1.32.0' 'onnx==1.23.2' 'numpy==2.4.6'
cat > "$folder/seen.py" <<'PY'
import sys

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper

small = helper.make_tensor("small", TensorProto.FLOAT, [1], [0.01])
x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
graph = helper.make_graph([helper.make_node("Mul", ["x", "small"], ["y"])], "g", [x], [y], [small])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
value = np.array([1e-38], np.float32)


def opened(option: str) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.set_denormal_as_zero", option)
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def of_numpy() -> float:
    return float((value * np.float32(0.01))[0])


before = of_numpy()
if sys.argv[1] == "second":
    opened("0")
session = opened("1")
result = float(session.run(None, {"x": value})[0][0])
del session
print(f"opened {sys.argv[1]}: the graph gives {result:g}; numpy gave {before:g} before and gives {of_numpy():g} after")
first = sys.argv[1] == "first"
assert before > 0
assert (result == 0) == first, "the option holds whichever session was opened first"
assert (of_numpy() == 0) == first, "the caller's thread is as it was"
PY
"$folder/venv/bin/python" -c 'import onnxruntime; print("ONNX Runtime", onnxruntime.__version__)'
for order in first second; do "$folder/venv/bin/python" "$folder/seen.py" "$order"; done
# What such numbers cost; printed only, since it depends on the CPU.
"$folder/venv/bin/python" - <<'PY'
from statistics import median
from time import perf_counter

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper

x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [12800, 19]) for name in "xy")
graph = helper.make_graph([helper.make_node("Softmax", ["x"], ["y"], axis=-1)], "g", [x], [y])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
options = ort.SessionOptions()
options.intra_op_num_threads = 1
session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
for apart in (80, 88):
    scores = np.full((12800, 19), -apart, np.float32)
    scores[:, 0] = 0
    times = []
    for _ in range(30):
        start = perf_counter()
        session.run(None, {"x": scores})
        times.append(1000 * (perf_counter() - start))
    print(f"softmax of 12800 x 19 scores that lie {apart} apart: {median(times):.2f} ms")
PY
