#!/usr/bin/env bash
# TensorRT-RTX 1.7.1, parser: a QuantizeLinear without a zero point becomes int8. By ONNX it is uint8 ("Default is uint8 with zero
# point of 0 if it's not specified", opset 19), and ONNX Runtime computes that: by a scale of 0.01 -1 becomes 0 and 1.5 stays,
# where int8 keeps -1 and cuts 1.5 off at 1.27. Nothing is said, not even a warning. With a zero point that is written out as
# uint8 the parser warns, and takes int8 as well. So activations behind a ReLU, which uint8 is chosen for, lose the upper half
# of their range.
# What one would expect: uint8, or a refusal.
# Needs x86-64 Linux and no GPU: a network is parsed, not run.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet tensorrt-rtx-cu13-bindings==1.7.1.116 onnxruntime-ep-nv-tensorrt-rtx-cu13==0.5.0 \
    onnx==1.23.2 onnxruntime==1.32.0
cd "$folder"
venv/bin/python - <<'PY'
import numpy as np
import onnx
import onnxruntime
import onnxruntime_ep_nv_tensorrt_rtx  # has the library
import tensorrt_rtx_bindings as rtx
from onnx import TensorProto, helper


class Heard(rtx.ILogger):
    def __init__(self):
        rtx.ILogger.__init__(self)
        self.warnings = []

    def log(self, severity, words):
        if severity <= rtx.ILogger.Severity.WARNING:
            self.warnings.append(words)


def model(zero):
    given = ["scale"] if zero is None else ["scale", "zero"]
    constants = [helper.make_tensor("scale", TensorProto.FLOAT, [], [0.01])]
    if zero is not None:
        constants.append(helper.make_tensor("zero", zero, [], [0]))
    nodes = [helper.make_node("QuantizeLinear", ["x", *given], ["q"])]
    nodes.append(helper.make_node("DequantizeLinear", ["q", *given], ["y"]))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [3]) for name in "xy"]
    graph = helper.make_graph(nodes, "one", ends[:1], ends[1:], constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    onnx.checker.check_model(made, full_check=True)
    return made.SerializeToString()


heard = Heard()
builder = rtx.Builder(heard)
x = np.array([-1, 0.5, 1.5], np.float32)
for name, zero in (("int8", TensorProto.INT8), ("uint8", TensorProto.UINT8), ("left out", None)):
    heard.warnings.clear()
    network = builder.create_network(0)
    parser = rtx.OnnxParser(network, heard)
    assert parser.parse(model(zero))
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    (kind,) = (layer.get_output(0).dtype for layer in layers if layer.type == rtx.LayerType.QUANTIZE)
    computed = onnxruntime.InferenceSession(model(zero)).run(None, {"x": x})[0]
    print(f"zero point {name}: ONNX Runtime {computed}; TensorRT-RTX {kind}, {len(heard.warnings)} warnings")
    assert kind == rtx.DataType.INT8
    wanted = [-1, 0.5, 1.27] if zero == TensorProto.INT8 else [0, 0.5, 1.5]
    assert np.allclose(computed, wanted)
    assert bool(heard.warnings) is (zero == TensorProto.UINT8)
PY
