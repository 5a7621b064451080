#!/usr/bin/env bash
# ExecuTorch 1.5.1: a reshape to seven axes is handed to XNNPACK, whose arrays have six at most. Export says nothing and
# writes the file; it does not load, on the device or wherever that is ("Failed to define tensor … code:
# xnn_status_unsupported_parameter", then "Failed to load method forward, error: 0x:1"). Bringing pixels into their places
# after two halvings is such a reshape.
# What one would expect: that the partitioner leaves the node to the portable kernels, which compute it; or an error at
# export. segface-edge brings pixels into their places four axes at a time (segface_edge/network/delegated.py).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'executorch==1.5.1' 'torch==2.13.0'
"$folder/venv/bin/python" - <<'PY' 2>&1 | grep -E "axes|XNNCompiler"
import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower
from executorch.runtime import Runtime


class Shuffle(torch.nn.Module):
    def __init__(self, axes):
        super().__init__()
        self.axes = axes

    def forward(self, rows):  # children of pixels, two halvings deep, into a picture
        doubled = rows + rows
        if self.axes == 7:
            picture = doubled.reshape(4, 4, 2, 2, 2, 2, 3).permute(0, 2, 4, 1, 3, 5, 6)
        else:
            picture = doubled.reshape(4, 4, 4, 4, 3).permute(0, 2, 1, 3, 4)
        return picture.reshape(1, 16, 16, 3) * 0.5


for axes in (5, 7):
    rows = torch.randn(256, 3)
    module = Shuffle(axes).eval()
    program = torch.export.export(module, (rows,))
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    nodes = lowered.exported_program().graph.nodes
    print(axes, "axes, exported:", [str(node.target) for node in nodes if node.op == "call_function"])
    loaded = Runtime.get().load_program(bytes(lowered.to_executorch().buffer))
    try:
        found = loaded.load_method("forward").execute([rows])[0]
        print(axes, "axes: runs, and gives what PyTorch gives:", torch.equal(found, module(rows)))
    except RuntimeError as error:
        print(axes, "axes: does not load:", error)
PY
