#!/usr/bin/env bash
# OpenCV 5.0.0, dnn: two convolutions of an ONNX file that name the same tensor as their bias, each followed by BatchNormalization,
# are computed wrongly: each normalisation is folded into the bias in place, so that the second convolution gets the first one's
# shift, too. With a bias of its own each, of the same values, the result is right. No error. PyTorch's exporter writes files of
# the first kind: one tensor of zeros for all convolutions of as many channels that have no bias.
# What one would expect: that a weight may be read twice.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet opencv-python-headless==5.0.0.93 onnx==1.23.2 onnxruntime==1.32.0
cd "$folder"
venv/bin/python - <<'PY'
import cv2
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

rng = np.random.default_rng(0)
x = rng.standard_normal((1, 4, 8, 8), np.float32)


def error(second_bias: str) -> float:
    weights = {"w": rng.standard_normal((4, 4, 1, 1), np.float32), "bias": np.zeros(4, np.float32)}
    weights |= {"other": weights["bias"].copy(), "gamma": np.ones(4, np.float32), "beta": np.arange(4, dtype=np.float32)}
    weights |= {"mean": np.full(4, 3, np.float32), "variance": np.ones(4, np.float32)}
    norm = ["gamma", "beta", "mean", "variance"]
    nodes = [
        helper.make_node("Conv", ["x", "w", "bias"], ["a"]),
        helper.make_node("BatchNormalization", ["a", *norm], ["b"]),
        helper.make_node("Conv", ["b", "w", second_bias], ["c"]),
        helper.make_node("BatchNormalization", ["c", *norm], ["y"]),
    ]
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, x.shape)] for name in "xy"]
    graph = helper.make_graph(nodes, "two", *ends, [numpy_helper.from_array(v, k) for k, v in weights.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, "two.onnx")
    wanted = onnxruntime.InferenceSession("two.onnx").run(None, {"x": x})[0]
    net = cv2.dnn.readNetFromONNX("two.onnx", cv2.dnn.ENGINE_NEW)
    net.setInput(x)
    return float(np.abs(net.forward() - wanted).max())


found = {name: error(name) for name in ("other", "bias")}
print(f"OpenCV {cv2.__version__}; largest error with a bias each: {found['other']:.1e}, with one for both: {found['bias']:.1e}")
assert found["other"] < 1e-4 < 0.1 < found["bias"], found
PY
