"""What a graph knows before it sees a frame: weights, constants, and BatchNorm, which is folded into both."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

Array = npt.NDArray[Any]
# Elements of a tensor of whole numbers that is folded.
_FEW = 64


def constants(graph: onnx.GraphProto) -> dict[str, Array]:
    """Weights, and what `Constant` nodes hold."""
    found = {weight.name: numpy_helper.to_array(weight) for weight in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            value = onnx.helper.get_attribute_value(node.attribute[0])
            tensor = numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.array(value)
            kind = np.float32 if node.attribute[0].name.startswith("value_float") else tensor.dtype
            found[node.output[0]] = tensor.astype(kind)
    return found


def consumers_of(graph: onnx.GraphProto) -> dict[str, list[onnx.NodeProto]]:
    """The nodes that read each tensor."""
    found: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            found.setdefault(name, []).append(node)
    return found


def computed_from_weights(graph: onnx.GraphProto) -> set[str]:
    """Names of all tensors that no frame changes: runtimes compute them when they load the file."""
    fixed = {weight.name for weight in graph.initializer}
    for node in graph.node:
        if all(name in fixed for name in node.input if name):
            fixed.update(node.output)
    return fixed


def fold_whole_numbers(graph: onnx.GraphProto) -> None:
    """Whole numbers that depend on nothing (where Swin's rolled windows begin) become constants.

    With them as nodes the shapes behind them cannot be told. Some depend on shapes, of which only the simplifier makes
    numbers: this is for a graph that went through it.
    """
    known = constants(graph)
    kept = []
    for node in graph.node:
        values = [known.get(name) for name in node.input]
        small = [value for value in values if value is not None and value.size <= _FEW and value.dtype.kind in "biu"]
        if not node.input or len(small) < len(values):
            kept.append(node)
            continue
        results = ReferenceEvaluator(node).run(None, dict(zip(node.input, small, strict=True)))
        for name, result in zip(node.output, results, strict=True):
            known[name] = np.asarray(result)
            graph.initializer.append(numpy_helper.from_array(known[name], name))
    del graph.node[:]
    graph.node.extend(kept)
    drop_unused(graph)


def drop_unused(graph: onnx.GraphProto) -> None:
    """Removes constants that nothing reads."""
    used = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    for node in list(graph.node):
        if node.op_type == "Constant" and node.output[0] not in used:
            graph.node.remove(node)
    for weight in list(graph.initializer):
        if weight.name not in used:
            graph.initializer.remove(weight)


def constants_to_weights(graph: onnx.GraphProto) -> None:
    """Makes an initializer of every `Constant` node: some converters read those of one form only."""
    found = constants(graph)
    kept = [node for node in graph.node if node.op_type != "Constant"]
    for node in graph.node:
        if node.op_type == "Constant":
            graph.initializer.append(numpy_helper.from_array(found[node.output[0]], node.output[0]))
    del graph.node[:]
    graph.node.extend(kept)


def drop_zero_biases(graph: onnx.GraphProto) -> None:
    """Takes from convolutions the biases of nothing but zeros that the exporter gives them, one to several.

    They are of no use; and OpenCV 5.0 folds a BatchNormalization into such a bias in place, for all that read it
    (`findings/opencv_shared_bias.sh`).
    """
    known = constants(graph)
    for node in graph.node:
        if node.op_type == "Conv" and len(node.input) > 2:
            bias = known.get(node.input[2])
            if bias is not None and not bias.any():
                del node.input[2:]
    drop_unused(graph)


def plain_weights(model: onnx.ModelProto) -> None:
    """Makes an initializer of every `Constant` node and every weight behind a Cast (see `finish.compact`), in place."""
    graph = model.graph
    found = constants(graph)
    kept = []
    for node in graph.node:
        if node.op_type == "Constant":
            values = found[node.output[0]]
        elif node.op_type == "Cast" and node.input[0] in found:
            values = found[node.input[0]].astype(onnx.helper.tensor_dtype_to_np_dtype(node.attribute[0].i))
            found[node.output[0]] = values
        else:
            kept.append(node)
            continue
        graph.initializer.append(numpy_helper.from_array(values, node.output[0]))
    del graph.node[:]
    graph.node.extend(kept)
    drop_unused(graph)


def fold_batch_norm(model: onnx.ModelProto) -> None:
    """Folds every BatchNormalization into the convolution before it, in double precision, in place.

    gamma (conv(x) - mean) / sqrt(var + eps) + beta is a convolution with gamma / sqrt(var + eps) in its weights. In
    fp32 a runtime does this when it loads the file; in lower precision it is done before the weights are rounded.
    """
    graph = model.graph
    weights = {weight.name: weight for weight in graph.initializer}
    producers = {name: node for node in graph.node for name in node.output}
    readers: dict[str, int] = {}
    for node in graph.node:
        for name in node.input:
            readers[name] = readers.get(name, 0) + 1

    def values(name: str) -> Array:
        array: Array = numpy_helper.to_array(weights[name]).astype(np.float64)
        return array

    for norm in [node for node in graph.node if node.op_type == "BatchNormalization"]:
        convolution = producers.get(norm.input[0])
        if convolution is None or convolution.op_type != "Conv" or readers[norm.input[0]] != 1:
            continue
        epsilon = next((attribute.f for attribute in norm.attribute if attribute.name == "epsilon"), 1e-5)
        gamma, beta, mean, variance = map(values, norm.input[1:5])
        factor = gamma / np.sqrt(variance + epsilon)
        kernel = values(convolution.input[1])
        bias = values(convolution.input[2]) if len(convolution.input) > 2 and convolution.input[2] else 0.0
        folded = {
            f"{convolution.input[1]}.folded": kernel * factor.reshape(-1, *[1] * (kernel.ndim - 1)),
            f"{convolution.input[1]}.bias": (bias - mean) * factor + beta,
        }
        for name, array in folded.items():
            graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), name))
        del convolution.input[1:]
        convolution.input.extend(folded)
        convolution.output[0] = norm.output[0]
        graph.node.remove(norm)
    drop_unused(graph)
