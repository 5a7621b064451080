"""Rewritings of the exported graph that PyTorch has no words for. All leave what is computed as it is.

- A `Resize` between two transposes, as the exporter writes an enlargement of rows of pixels, becomes one on those rows:
  quicker in ONNX Runtime, whose kernel for channels last works on whole rows.
- The `Add` before a LayerNormalization becomes a `Sum`: ONNX Runtime fuses the former to SkipLayerNormalization, which
  takes longer than the two apart.
- A `Pad` of zeros before a convolution becomes the convolution's own, which may differ between before and after.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from .constants import constants, drop_unused

_TO_FIRST, _TO_LAST = [0, 3, 1, 2], [0, 2, 3, 1]


def rewrite(model: onnx.ModelProto) -> None:
    """Applies them, in place."""
    _resize_rows(model.graph)
    _sum_before_norm(model.graph)
    _pad_in_convolution(model.graph)


def _consumers(graph: onnx.GraphProto) -> dict[str, list[onnx.NodeProto]]:
    found: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            found.setdefault(name, []).append(node)
    return found


def _is_transpose(node: onnx.NodeProto | None, order: list[int]) -> bool:
    return node is not None and node.op_type == "Transpose" and list(node.attribute[0].ints) == order


def _resize_rows(graph: onnx.GraphProto) -> None:
    producers = {name: node for node in graph.node for name in node.output}
    known = constants(graph)
    consumers = _consumers(graph)
    gone = []
    for node in graph.node:
        if node.op_type != "Resize":
            continue
        before, after = producers.get(node.input[0]), consumers.get(node.output[0], [])
        # Inputs: picture, region (unused), scales, sizes; one of the last two.
        place = max(index for index, name in enumerate(node.input) if name)
        factors = known.get(node.input[place])
        if not _is_transpose(before, _TO_FIRST) or len(after) != 1 or not _is_transpose(after[0], _TO_LAST):
            continue
        if before is None or factors is None or place < 2:
            continue
        name = f"{node.name}.{'scales' if place == 2 else 'sizes'}"
        graph.initializer.append(numpy_helper.from_array(factors[_TO_LAST], name))
        node.input[place] = name
        node.input[0], node.output[0] = before.input[0], after[0].output[0]
        gone.append(after[0])
        if len(consumers[before.output[0]]) == 1:
            gone.append(before)
    for node in gone:
        graph.node.remove(node)
    drop_unused(graph)


def _sum_before_norm(graph: onnx.GraphProto) -> None:
    consumers = _consumers(graph)
    for node in graph.node:
        if node.op_type == "Add" and [after.op_type for after in consumers.get(node.output[0], [])] == [
            "LayerNormalization"
        ]:
            node.op_type = "Sum"


def _pad_in_convolution(graph: onnx.GraphProto) -> None:
    known, consumers = constants(graph), _consumers(graph)
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
