"""Rewritings of the exported graph that PyTorch has no words for. All leave what is computed as it is.

- The `Add` before a LayerNormalization becomes a `Sum`: ONNX Runtime fuses the former to SkipLayerNormalization, which
  takes longer than the two apart.
- A `Pad` of zeros before a convolution becomes the convolution's own, which may differ between before and after.
- A `HardSigmoid` that scales another map becomes the three operators that it is: OpenCV's dnn takes it, and the `Mul`
  behind it, for HardSwish, which has no other map.

An enlargement of rows stays as the exporter writes it, a `Resize` between two transposes: one of channels last would be
as quick in ONNX Runtime and is one of channels first to most others (OpenCV, MNN, onnx2tf), or slow (OpenVINO).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from .constants import constants, consumers_of, drop_unused


def rewrite(model: onnx.ModelProto) -> None:
    """Applies them, in place."""
    _sum_before_norm(model.graph)
    _pad_in_convolution(model.graph)
    _spell_gates(model.graph)


def _sum_before_norm(graph: onnx.GraphProto) -> None:
    consumers = consumers_of(graph)
    for node in graph.node:
        if node.op_type == "Add" and [after.op_type for after in consumers.get(node.output[0], [])] == [
            "LayerNormalization"
        ]:
            node.op_type = "Sum"


def _pad_in_convolution(graph: onnx.GraphProto) -> None:
    known, consumers = constants(graph), consumers_of(graph)
    gone = []
    for node in graph.node:
        after = consumers.get(node.output[0], [])
        if node.op_type != "Pad" or [one.op_type for one in after] != ["Conv"] or not _pads_zeros(node, known):
            continue
        # Of every axis before, then of every axis after; the convolution's are of the last two.
        pads = known[node.input[1]].reshape(2, -1)
        attributes = {attribute.name: attribute for attribute in after[0].attribute}
        own = list(attributes["pads"].ints) if "pads" in attributes else [0] * 4
        if (
            pads.shape[1] != 4
            or pads[:, :2].any()
            or ("auto_pad" in attributes and attributes["auto_pad"].s != b"NOTSET")
        ):
            continue
        if "pads" in attributes:
            after[0].attribute.remove(attributes["pads"])
        after[0].attribute.append(
            helper.make_attribute("pads", [a + b for a, b in zip(own, pads[:, 2:].ravel().tolist(), strict=True)])
        )
        after[0].input[0] = node.input[0]
        gone.append(node)
    for node in gone:
        graph.node.remove(node)
    drop_unused(graph)


def _pads_zeros(node: onnx.NodeProto, known: Mapping[str, npt.NDArray[Any]]) -> bool:
    """Whether a Pad is of constant size and of zeros, over all axes."""
    mode = next((attribute.s for attribute in node.attribute if attribute.name == "mode"), b"constant")
    value, axes = [*node.input[2:], "", ""][:2]
    zero = not value or (value in known and not known[value].any())
    return mode == b"constant" and zero and not axes and node.input[1] in known


def _spell_gates(graph: onnx.GraphProto) -> None:
    bounds = {"gate.zero": 0.0, "gate.one": 1.0}
    spelt: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type != "HardSigmoid":
            spelt.append(node)
            continue
        factors = {"alpha": 0.2, "beta": 0.5} | {attribute.name: attribute.f for attribute in node.attribute}
        inside = {key: f"{node.name}.{key}" for key in factors}
        for key, value in factors.items():
            graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), inside[key]))
        scaled, moved = f"{node.output[0]}.scaled", f"{node.output[0]}.moved"
        spelt += [
            helper.make_node("Mul", [node.input[0], inside["alpha"]], [scaled], name=f"{node.name}.scale"),
            helper.make_node("Add", [scaled, inside["beta"]], [moved], name=f"{node.name}.move"),
            helper.make_node("Clip", [moved, *bounds], list(node.output), name=node.name),
        ]
    if len(spelt) > len(graph.node):
        for name, value in bounds.items():
            graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), name))
        del graph.node[:]
        graph.node.extend(spelt)
