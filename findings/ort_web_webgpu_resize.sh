#!/usr/bin/env bash
# onnxruntime-web 1.30.0, WebGPU: a linear Resize whose channels come last (scales 1, 2, 2, 1) gives other numbers than the
# same in WASM, off by as much as its largest value. Nothing is said, and all else of a network is right: of a face, 40 % of
# the labels. With the channels first (scales 1, 1, 2, 2) both compute the same; so does WebGPU with `forceCpuNodeNames`.
# What one would expect: a device computes what another does, or refuses.
# Needs npm and Chromium (apt-get install chromium); no GPU: Chromium's SwiftShader computes WebGPU on the CPU.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'onnx==1.23.2' 'numpy==2.4.6' 'playwright>=1.50'
npm install --prefix "$folder" --no-save --ignore-scripts --no-audit --no-fund --silent onnxruntime-web@1.30.0
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import functools
import http.server
import shutil
import threading
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from playwright.sync_api import sync_playwright

LAYOUTS = {"channels last": ([1, 6, 6, 4], [1, 2, 2, 1]), "channels first": ([1, 4, 6, 6], [1, 1, 2, 2])}
for name, (shape, scales) in LAYOUTS.items():
    node = helper.make_node(
        "Resize", ["x", "", "s"], ["y"], name="resize", mode="linear", coordinate_transformation_mode="half_pixel"
    )
    graph = helper.make_graph(
        [node], "resize",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.array(scales, np.float32), "s")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    Path(f"{name.replace(' ', '-')}.onnx").write_bytes(made.SerializeToString())
Path("page.html").write_text("")

RUN = """async ([file, shape, provider]) => {
  const ort = await import("/node_modules/onnxruntime-web/dist/ort.webgpu.min.mjs");
  ort.env.wasm.wasmPaths = new URL("/node_modules/onnxruntime-web/dist/", location).href;
  ort.env.wasm.numThreads = 1;
  const session = await ort.InferenceSession.create(file, {executionProviders: [provider], logSeverityLevel: 3});
  const x = Float32Array.from({length: shape.reduce((one, other) => one * other)}, (_, at) => (at * 37) % 101);
  return Array.from((await session.run({x: new ort.Tensor("float32", x, shape)})).y.data);
}"""
PROVIDERS = ["wasm", "webgpu", {"name": "webgpu", "forceCpuNodeNames": ["resize"]}]
handler = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
flags = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan", "--no-proxy-server"]
errors = {}
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=program, args=flags)
    print(f"Chromium {browser.version}; the largest difference from WASM, whose largest value is 100:")
    for name, (shape, _) in LAYOUTS.items():
        page = browser.new_page()
        page.set_default_timeout(300_000)
        page.goto(f"http://127.0.0.1:{server.server_port}/page.html")
        found = [
            np.array(page.evaluate(RUN, [f"/{name.replace(' ', '-')}.onnx", shape, provider])) for provider in PROVIDERS
        ]
        for words, values in zip(("WebGPU", "WebGPU, the node on the CPU"), found[1:], strict=True):
            errors[name, words] = float(np.abs(values - found[0]).max())
            print(f"  {name:15} {words:28} {errors[name, words]:.4f}")
    browser.close()
assert errors["channels first", "WebGPU"] < 0.001
assert errors["channels last", "WebGPU, the node on the CPU"] < 0.001
assert errors["channels last", "WebGPU"] > 10, "channels last is computed right now"
PY
