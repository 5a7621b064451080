"""fp32 -> fp16, typed in the file: what TensorRT calls a strongly typed network.

Every operator computes in half precision but for islands, which stay in fp32 between two Casts. What depends on weights
alone stays in fp32 too, and is rounded once, where a frame first meets it.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from .constants import computed_from_weights, drop_unused
from .sensitivity import Candidate, Rounding

_WIDE, _HALF = TensorProto.FLOAT, TensorProto.FLOAT16
# Inputs that are fp32 in whatever type an operator computes: the factors of an enlargement.
_ALWAYS_WIDE = {"Resize": (1, 2)}
# They compute nothing: their type is that of what they are given.
MOVES = frozenset({"Reshape", "Transpose", "Gather", "Squeeze", "Unsqueeze", "Identity", "ArgMax"})


def float_nodes(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The nodes that compute floats from the frames, in order, and those that widen int8 weights: what `to_half` may
    change."""
    types = _types(model)
    fixed = computed_from_weights(model.graph)
    return [
        node
        for node in model.graph.node
        if (node.op_type == "DequantizeLinear" or not set(node.output) <= fixed)
        and any(types.get(name) == _WIDE for name in (*node.input[:1], *node.output[:1]))
    ]


def half_candidates(model: onnx.ModelProto) -> list[Candidate]:
    """Every node that computes floats, with its constants and its result rounded to half precision and back."""
    types = _types(model)
    fixed = computed_from_weights(model.graph)
    found = []
    for node in float_nodes(model):
        if node.op_type in MOVES:
            continue
        constants = [name for name in dict.fromkeys(node.input) if name in fixed and types.get(name) == _WIDE]
        results = [name for name in node.output if types.get(name) == _WIDE]
        roundings = [Rounding(tensor=name, reader=node.name, nodes=_to_and_fro(name)) for name in constants]
        roundings += [Rounding(tensor=name, reader=None, nodes=_to_and_fro(name)) for name in results]
        if results:
            found.append(Candidate(name=node.name, kind=node.op_type, roundings=roundings))
    return found


def _to_and_fro(name: str) -> list[onnx.NodeProto]:
    half, back = f"{name}.rounded", f"{name}.back"
    return [
        helper.make_node("Cast", [name], [half], to=_HALF),
        helper.make_node("Cast", [half], [back], to=_WIDE),
    ]


def to_half(model: onnx.ModelProto, islands: Collection[str] = ()) -> onnx.ModelProto:
    """A copy of `model` in half precision.

    Args:
        model: fp32, weights plain (`constants.plain_weights`). Its inputs and outputs keep their types.
        islands: names of nodes that stay in fp32.
    """
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    graph = wide.graph
    types = _types(wide)
    floats = {name for name, kind in types.items() if kind == _WIDE}
    halved = {node.name for node in float_nodes(wide)} - set(islands)
    weights = {weight.name: weight for weight in graph.initializer}
    has: dict[str, int] = dict.fromkeys(floats, _WIDE)  # in which type a tensor was made
    made: dict[tuple[str, int], str] = {}
    nodes: list[onnx.NodeProto] = []

    def as_type(name: str, kind: int) -> str:
        """The tensor in the type wanted: itself, a rounded weight, or a Cast."""
        if has[name] == kind:
            return name
        if (name, kind) not in made:
            other = f"{name}.{'half' if kind == _HALF else 'wide'}"
            if name in weights:
                with np.errstate(over="ignore"):  # what becomes infinite is seen in the logits
                    values = numpy_helper.to_array(weights[name]).astype(np.float16)
                graph.initializer.append(numpy_helper.from_array(values, other))
            else:
                nodes.append(helper.make_node("Cast", [name], [other], name=f"{other}.cast", to=kind))
            made[name, kind] = other
        return made[name, kind]

    for node in list(graph.node):
        kind = int(_HALF if node.name in halved else _WIDE)
        if node.op_type in MOVES and node.input[0] in floats:
            kind = has[node.input[0]]
        for place, name in enumerate(node.input):
            if name in floats and place not in _ALWAYS_WIDE.get(node.op_type, ()):
                node.input[place] = as_type(name, kind)
        for name in node.output:
            if name in floats:
                has[name] = kind
        if node.op_type == "Cast" and node.output[0] in floats:
            node.attribute[0].i = kind
        nodes.append(node)
    for output in graph.output:
        if has.get(output.name) == _HALF:
            _widen_output(nodes, output.name)
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]
    drop_unused(graph)
    return wide


def _widen_output(nodes: list[onnx.NodeProto], name: str) -> None:
    """Lets an output keep its name and its type behind a last Cast."""
    inner = f"{name}.half"
    for node in nodes:
        for names in (node.input, node.output):
            for place, other in enumerate(names):
                if other == name:
                    names[place] = inner
    nodes.append(helper.make_node("Cast", [inner], [name], name=f"{name}.cast", to=_WIDE))


def _types(model: onnx.ModelProto) -> dict[str, int]:
    inferred = shape_inference.infer_shapes(model).graph
    types = {weight.name: weight.data_type for weight in inferred.initializer}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        types[value.name] = value.type.tensor_type.elem_type
    return types
