"""fp32 -> int8: QuantizeLinear and DequantizeLinear around the backbone's convolutions, as TensorRT reads them.

Symmetric (no zero point), weights per output channel, activations per tensor; biases stay floats, since NVIDIA's parser
refuses those of int32. Scales are numbers that half precision holds, so that the file means the same with fp16 around
them. The decoder is left alone: its products gain nothing in int8 on most devices and lose the most.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, redirect_stdout

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization.calibrate import HistogramCollector

from segface_edge.pictures.geometry import UInt8Array

from .config import CalibrationMethod
from .constants import Array
from .sensitivity import Candidate, Rounding

_HIGHEST = 127
# fp16's smallest normal number: below it a scale loses digits.
_SMALLEST_SCALE = 2.0**-14
# ONNX Runtime's own defaults, but for the percentile: of some million values, its 99.999 % is still an outlier.
_BINS, _QUANTIZED_BINS, _PERCENTILE = 2048, 128, 99.99


def layers(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """What can become int8: the convolutions; in a deploy graph those are the backbone's."""
    return [node for node in model.graph.node if node.op_type == "Conv"]


def calibrate(
    model: onnx.ModelProto,
    frames: Sequence[UInt8Array],
    method: CalibrationMethod,
    progress: Callable[[int], None] = lambda _: None,
) -> dict[str, float]:
    """The largest magnitude that each convolution's input shall hold: {tensor: magnitude}.

    Args:
        model: a deploy graph in fp32.
        frames: (S, S, 3) uint8 RGB each, of the kind that the model will see.
        method: `minmax`: the largest seen; `percentile`: 99.99 % of all values; `entropy`: the least Kullback-Leibler
            divergence between the values and their quantised selves. The last two are ONNX Runtime's.
        progress: called with the number of frames since the last call.
    """
    tensors = sorted({node.input[0] for node in layers(model)})
    probed = onnx.ModelProto()
    probed.CopyFrom(model)
    del probed.graph.output[:]
    probed.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in tensors)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(probed.SerializeToString(), options, providers=["CPUExecutionProvider"])
    source = model.graph.input[0].name
    largest = dict.fromkeys(tensors, 0.0)
    collector = HistogramCollector(method, True, _BINS, _QUANTIZED_BINS, _PERCENTILE, "same")
    for frame in frames:
        values = dict(zip(tensors, session.run(tensors, {source: frame[None]}), strict=True))
        for name, value in values.items():
            largest[name] = max(largest[name], float(np.abs(value).max()))
        if method != "minmax":
            with _silent():
                collector.collect({name: [value] for name, value in values.items()})
        progress(1)
    if method == "minmax":
        return largest
    with _silent():
        found = collector.compute_collection_result()
    return {name: float(max(abs(float(low)), abs(float(high)))) for name, (low, high, *_) in found.items()}


def _silent() -> AbstractContextManager[object]:
    """ONNX Runtime's collector prints its progress to standard output, which is for results."""
    return redirect_stdout(io.StringIO())


def scale_of(magnitude: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """The step of int8 for values up to `magnitude`, rounded up to one that fp16 holds."""
    exact = np.maximum(np.asarray(magnitude, np.float64) / _HIGHEST, _SMALLEST_SCALE)
    half = exact.astype(np.float16)
    return np.where(half < exact, np.nextafter(half, np.float16(np.inf)), half).astype(np.float32)


def int8_candidates(model: onnx.ModelProto, ranges: Mapping[str, float]) -> list[Candidate]:
    """Every layer with its input and its weights quantised.

    Args:
        model: fp32, weights plain, BatchNorm folded.
        ranges: of `calibrate`.
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
        ranges: of `calibrate`.
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
