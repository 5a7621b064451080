"""fp32 -> int8 as a CPU multiplies it: bytes without a sign, from one layer to the next without becoming floats.

ONNX Runtime's int8 kernels want all that TensorRT's parser refuses: activations without a sign, the output quantised
like the input, biases of int32. The rest of the graph stays in fp32, since a CPU has no products of fp16.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from .constants import Array, constants, consumers_of, drop_unused
from .ranges import layers
from .sensitivity import Candidate, Rounding

_HIGHEST, _LEVELS, _MIDDLE = 127, 255, 128
_TINY = 1e-8
_MOST = 2**31 - 1
_FIRST = [0, 3, 1, 2]
# How a graph normalises its frames, last first (`network/deploy.py`).
_NORMALISES = ("Mul", "Sub", "Transpose", "Cast")


def made_by(model: onnx.ModelProto) -> dict[str, str]:
    """What each layer makes: {name of the layer: tensor}, behind its activation where that is a Clip or Relu of it."""
    readers = consumers_of(model.graph)
    outputs = {output.name for output in model.graph.output}
    found = {}
    for node in layers(model):
        tensor = node.output[0]
        after = readers.get(tensor, [])
        if len(after) == 1 and after[0].op_type in ("Clip", "Relu") and tensor not in outputs:
            tensor = after[0].output[0]
        found[node.name] = tensor
    return found


def tensors_to_range(model: onnx.ModelProto) -> list[str]:
    """What `quantise_chains` may quantise: inputs and results of all layers, and sums of such."""
    found = {node.input[0] for node in layers(model)} | set(made_by(model).values())
    found |= {node.output[0] for node in _sums(model.graph, found)}
    return sorted(found)


def cpu_candidates(model: onnx.ModelProto, ranges: Mapping[str, float]) -> list[Candidate]:
    """Every layer with its input, its weights and its result quantised.

    Args:
        model: fp32, weights plain, BatchNorm folded.
        ranges: of `ranges.calibrate`, of `tensors_to_range`.
    """
    known, positive, results = constants(model.graph), _positive(model.graph), made_by(model)
    exact = frames_as_bytes(model.graph)
    found = []
    for node in layers(model):
        source, kernel = node.input[:2]
        held = {
            tensor: (reader, _activation(f"{node.name}.{tensor}", ranges[tensor], signed=tensor not in positive))
            for tensor, reader in ((source, node.name), (results[node.name], None))
            if tensor not in exact
        }
        held[kernel] = node.name, _kernel(f"{node.name}.{kernel}", known[kernel])
        roundings = [
            Rounding(
                tensor=tensor,
                reader=reader,
                nodes=_there_and_back(tensor, f"{node.name}.{tensor}", weights),
                weights=weights,
            )
            for tensor, (reader, weights) in held.items()
        ]
        found.append(Candidate(name=node.name, kind=node.op_type, roundings=roundings))
    return found


def quantise_chains(model: onnx.ModelProto, names: Collection[str], ranges: Mapping[str, float]) -> onnx.ModelProto:
    """A copy of `model` with the layers named in int8, and the sums of what they make.

    Args:
        model: fp32, weights plain, BatchNorm folded.
        names: of layers.
        ranges: of `ranges.calibrate`, of `tensors_to_range`.
    """
    quantised = onnx.ModelProto()
    quantised.CopyFrom(model)
    graph = quantised.graph
    known, positive, exact = constants(graph), _positive(graph), frames_as_bytes(graph)
    chosen, results = [node for node in layers(quantised) if node.name in names], made_by(quantised)
    in_bytes = {node.input[0] for node in chosen} | {results[node.name] for node in chosen}
    in_bytes |= {node.output[0] for node in _sums(graph, in_bytes)}
    steps: dict[str, npt.NDArray[np.float32]] = {}
    nodes: list[onnx.NodeProto] = []
    for node in list(graph.node):
        if node.name in names:
            nodes += _put_weights(node, known, steps[node.input[0]], graph)
            node.input[1:] = [f"{name}.of.{node.name}.dq" for name in node.input[1:]]
        node.input[:] = [f"{name}.dq" if name in in_bytes else name for name in node.input]
        nodes.append(node)
        for tensor in in_bytes.intersection(node.output):
            if tensor in exact:
                frames, held = exact[tensor]
                bytes_first = helper.make_node("Transpose", [frames], [f"{tensor}.q"], name=f"{tensor}.q", perm=_FIRST)
                nodes += [bytes_first, _back(tensor, f"{tensor}.q", *(one.name for one in held))]
            else:
                held = _activation(tensor, ranges[tensor], signed=tensor not in positive)
                nodes += _there_and_back(tensor, tensor, held)
            steps[tensor] = numpy_helper.to_array(held[0])
            graph.initializer.extend(held)
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]
    _drop_unread(graph)
    drop_unused(graph)
    return quantised


def frames_as_bytes(graph: onnx.GraphProto) -> dict[str, tuple[str, list[onnx.TensorProto]]]:
    """The normalised frames, where they are the frames' own bytes with a scale and a zero point: EfficientNet-Lite's
    (pixel - 127) / 128 are, ImageNet's normalisation, which differs by channel, is not.

    Returns:
        {tensor: (the graph's input, scale and zero point)}.
    """
    makers = {name: node for node in graph.node for name in node.output}
    known = constants(graph)
    found = {}
    for node in graph.node:
        chain = [node]
        while len(chain) < len(_NORMALISES) and chain[-1].input and chain[-1].input[0] in makers:
            chain.append(makers[chain[-1].input[0]])
        if tuple(one.op_type for one in chain) != _NORMALISES or chain[-1].input[0] != graph.input[0].name:
            continue
        scales, middles = (known.get(one.input[1], np.empty(0)) for one in chain[:2])
        if not scales.size or not middles.size or np.ptp(scales) or np.ptp(middles):
            continue
        middle = float(middles.flat[0])
        # 255 x (127 / 255) in fp32 may be a last digit beside 127.
        if list(chain[2].attribute[0].ints) == _FIRST and abs(middle - round(middle)) < 1e-4 and 0 <= middle <= _LEVELS:
            tensor = node.output[0]
            held = _held(tensor, float(scales.flat[0]), round(middle))
            found[tensor] = graph.input[0].name, held
    return found


def _drop_unread(graph: onnx.GraphProto) -> None:
    """Removes nodes that nothing reads any more, last first."""
    read = {output.name for output in graph.output} | {name for node in graph.node for name in node.input}
    while unread := [node for node in graph.node if not read.intersection(node.output)]:
        for node in unread:
            graph.node.remove(node)
        read = {output.name for output in graph.output} | {name for node in graph.node for name in node.input}


def _put_weights(
    node: onnx.NodeProto, known: Mapping[str, Array], step: npt.NDArray[np.float32], graph: onnx.GraphProto
) -> list[onnx.NodeProto]:
    """Puts a layer's kernel as int8 and its bias as int32 into the graph, and returns what makes floats of them.

    Args:
        node: the layer.
        known: the graph's constants.
        step: of the layer's input.
        graph: they are put there.
    """
    prefixes = [f"{name}.of.{node.name}" for name in node.input[1:]]
    kernel = known[node.input[1]]
    held = _kernel(prefixes[0], kernel)
    scales = numpy_helper.to_array(held[0])
    whole = [np.clip(np.rint(kernel / scales.reshape(-1, *[1] * (kernel.ndim - 1))), -_HIGHEST, _HIGHEST)]
    kinds: list[type[np.signedinteger[Any]]] = [np.int8]
    all_held = [held]
    if len(prefixes) > 1:
        # By the product of both scales, which is what the kernels add to.
        scales = (scales * step).astype(np.float32)
        zeros = numpy_helper.from_array(np.zeros(scales.shape, np.int32), f"{prefixes[1]}.zero")
        all_held.append([numpy_helper.from_array(scales, f"{prefixes[1]}.scale"), zeros])
        whole.append(np.clip(np.rint(known[node.input[2]].astype(np.float64) / scales), -_MOST, _MOST))
        kinds.append(np.int32)
    found = []
    for prefix, values, kind, constants_of in zip(prefixes, whole, kinds, all_held, strict=True):
        graph.initializer.extend([numpy_helper.from_array(values.astype(kind), f"{prefix}.whole"), *constants_of])
        found.append(_back(prefix, f"{prefix}.whole", *(one.name for one in constants_of)))
    return found


def _back(prefix: str, whole: str, scale: str, zero: str) -> onnx.NodeProto:
    return helper.make_node("DequantizeLinear", [whole, scale, zero], [f"{prefix}.dq"], name=f"{prefix}.dq", axis=0)


def _there_and_back(tensor: str, prefix: str, held: list[onnx.TensorProto]) -> list[onnx.NodeProto]:
    names = [one.name for one in held]
    return [
        helper.make_node("QuantizeLinear", [tensor, *names], [f"{prefix}.q"], name=f"{prefix}.q", axis=0),
        helper.make_node("DequantizeLinear", [f"{prefix}.q", *names], [f"{prefix}.dq"], name=f"{prefix}.dq", axis=0),
    ]


def _activation(prefix: str, magnitude: float, *, signed: bool) -> list[onnx.TensorProto]:
    """Scale and zero point of bytes for [0, magnitude], or [-magnitude, magnitude] and a step more."""
    return _held(prefix, magnitude / (_HIGHEST if signed else _LEVELS), _MIDDLE if signed else 0)


def _held(prefix: str, step: float, zero: int) -> list[onnx.TensorProto]:
    return [
        numpy_helper.from_array(np.array(max(step, _TINY), np.float32), f"{prefix}.scale"),
        numpy_helper.from_array(np.array(zero, np.uint8), f"{prefix}.zero"),
    ]


def _kernel(prefix: str, kernel: Array) -> list[onnx.TensorProto]:
    scales = np.maximum(np.abs(kernel).reshape(len(kernel), -1).max(axis=1) / _HIGHEST, _TINY).astype(np.float32)
    return [
        numpy_helper.from_array(scales, f"{prefix}.scale"),
        numpy_helper.from_array(np.zeros(scales.shape, np.int8), f"{prefix}.zero"),
    ]


def _sums(graph: onnx.GraphProto, tensors: Collection[str]) -> list[onnx.NodeProto]:
    """The sums of two of these tensors, or of such sums."""
    known, found = set(tensors), []
    for node in graph.node:
        if node.op_type == "Add" and all(name in known for name in node.input):
            known.add(node.output[0])
            found.append(node)
    return found


def _positive(graph: onnx.GraphProto) -> set[str]:
    """Tensors that hold nothing below 0."""
    known = constants(graph)
    found = set()
    for node in graph.node:
        low = known.get(node.input[1]) if node.op_type == "Clip" and len(node.input) > 1 else None
        if node.op_type in ("Relu", "HardSigmoid") or (low is not None and float(low) >= 0):
            found.add(node.output[0])
    return found
