"""fp32 -> int8: QuantizeLinear and DequantizeLinear around the backbone's convolutions, as TensorRT reads them.

Symmetric (no zero point), weights per output channel, activations per tensor; biases stay floats, since NVIDIA's parser
refuses those of int32. Scales are numbers that half precision holds, so that the file means the same with fp16 around
them. The decoder is left alone: its products gain nothing in int8 on most devices and lose the most.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from .constants import Array
from .ranges import layers
from .sensitivity import Candidate, Rounding

_HIGHEST = 127
# fp16's smallest normal number: below it a scale loses digits.
_SMALLEST_SCALE = 2.0**-14


def scale_of(magnitude: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """The step of int8 for values up to `magnitude`, rounded up to one that fp16 holds."""
    exact = np.maximum(np.asarray(magnitude, np.float64) / _HIGHEST, _SMALLEST_SCALE)
    half = exact.astype(np.float16)
    return np.where(half < exact, np.nextafter(half, np.float16(np.inf)), half).astype(np.float32)


def int8_candidates(model: onnx.ModelProto, ranges: Mapping[str, float]) -> list[Candidate]:
    """Every layer with its input and its weights quantised.

    Args:
        model: fp32, weights plain, BatchNorm folded.
        ranges: of `ranges.calibrate`.
    """
    weights = {weight.name: weight for weight in model.graph.initializer}
    found = []
    for node in layers(model):
        source, kernel = node.input[:2]
        scales = {source: scale_of(ranges[source]), kernel: _kernel_scales(numpy_helper.to_array(weights[kernel]))}
        roundings = []
        for tensor, scale in scales.items():
            prefix = f"{node.name}.{tensor}"
            constants = _scale_and_zero(prefix, scale)
            names = [constant.name for constant in constants]
            nodes = [
                helper.make_node("QuantizeLinear", [tensor, *names], [f"{prefix}.q"], axis=0),
                helper.make_node("DequantizeLinear", [f"{prefix}.q", *names], [f"{prefix}.dq"], axis=0),
            ]
            roundings.append(Rounding(tensor=tensor, reader=node.name, nodes=nodes, weights=constants))
        found.append(Candidate(name=node.name, kind=node.op_type, roundings=roundings))
    return found


def quantise(model: onnx.ModelProto, names: Collection[str], ranges: Mapping[str, float]) -> onnx.ModelProto:
    """A copy of `model` with the layers named in int8: their kernels as int8, their inputs through Q and DQ.

    Args:
        model: fp32, weights plain, BatchNorm folded.
        names: of layers.
        ranges: of `ranges.calibrate`.
    """
    quantised = onnx.ModelProto()
    quantised.CopyFrom(model)
    graph = quantised.graph
    weights = {weight.name: weight for weight in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    done: dict[str, str] = {}
    for node in graph.node:
        if node.name in names:
            source, kernel = node.input[:2]
            if source not in done:
                done[source] = f"{source}.dq"
                constants = _scale_and_zero(source, scale_of(ranges[source]))
                graph.initializer.extend(constants)
                scale, zero = (constant.name for constant in constants)
                q = f"{source}.q"
                nodes.append(helper.make_node("QuantizeLinear", [source, scale, zero], [q], name=q))
                nodes.append(helper.make_node("DequantizeLinear", [q, scale, zero], [done[source]], name=done[source]))
            node.input[0] = done[source]
            node.input[1] = f"{kernel}.dq"
            values = numpy_helper.to_array(weights[kernel])
            constants = _scale_and_zero(kernel, _kernel_scales(values))
            steps = numpy_helper.to_array(constants[0]).reshape(-1, *[1] * (values.ndim - 1))
            whole = np.clip(np.rint(values / steps), -_HIGHEST, _HIGHEST).astype(np.int8)
            graph.initializer.extend([*constants, numpy_helper.from_array(whole, f"{kernel}.int8")])
            names_of = [constant.name for constant in constants]
            nodes.append(
                helper.make_node(
                    "DequantizeLinear", [f"{kernel}.int8", *names_of], [node.input[1]], name=node.input[1], axis=0
                )
            )
            graph.initializer.remove(weights[kernel])
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]
    return quantised


def _kernel_scales(kernel: Array) -> npt.NDArray[np.float32]:
    return scale_of(np.abs(kernel).reshape(len(kernel), -1).max(axis=1))


def _scale_and_zero(name: str, scale: npt.NDArray[np.float32]) -> list[onnx.TensorProto]:
    zero = np.zeros(scale.shape, np.int8)
    return [numpy_helper.from_array(scale, f"{name}.scale"), numpy_helper.from_array(zero, f"{name}.zero")]
