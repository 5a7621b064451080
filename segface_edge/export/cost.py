"""What a graph costs: multiplications and bytes, node by node, counted from its shapes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx_ir
from onnx import TensorProto, helper, shape_inference
from onnxscript import optimizer

from segface_edge.errors import ModelFileError

# What a device's matrix units run; all other operators are passes over memory.
PRODUCTS = ("Conv", "ConvTranspose", "MatMul", "Gemm")
_PRECISIONS: dict[int, str] = {
    TensorProto.FLOAT16: "fp16",
    TensorProto.BFLOAT16: "fp16",
    TensorProto.INT8: "int8",
    TensorProto.UINT8: "int8",
}
# Elements of a folded tensor: shapes are small.
_FOLD_LIMIT = 1024


@dataclass(frozen=True, kw_only=True)
class NodeCost:
    """One node of a graph.

    Attributes:
        name, kind: of the node.
        macs: multiplications with accumulation; 0 for all but `PRODUCTS`.
        least: of them, what no algorithm saves (see `_needed`).
        reads, writes: {tensor: its bytes}, weights included.
        type: ONNX's element type of the factors, such as `TensorProto.FLOAT16`: behind DequantizeLinear, that of the
            integers which a runtime multiplies there.
    """

    name: str
    kind: str
    macs: int
    least: int
    reads: Mapping[str, int]
    writes: Mapping[str, int]
    type: int

    @property
    def bytes(self) -> int:
        """What it reads and writes: each operator for itself, as if nothing were fused."""
        return sum(self.reads.values()) + sum(self.writes.values())

    @property
    def precision(self) -> str:
        """What its factors are multiplied in, as a device's peaks are named; what is none of these types is multiplied
        no quicker than fp32."""
        return _PRECISIONS.get(self.type, "fp32")


def node_costs(model: onnx.ModelProto, *, batch: int = 1) -> list[NodeCost]:
    """Every node that runs once a call, in order. What depends on weights alone is not among them: runtimes compute it
    when they load the file.

    Args:
        model: a graph of segface-edge.
        batch: N, where the graph takes any.

    Raises:
        ModelFileError: a shape cannot be told.
    """
    model = of_batch(model, batch)
    shapes, types = tensors(model)
    fixed = {weight.name for weight in model.graph.initializer}
    quantised = {}
    costs = []
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear":
            quantised[node.output[0]] = types[node.input[0]]
        if all(name in fixed for name in node.input if name):
            fixed.update(node.output)
            continue
        names = [name for name in (*node.input, *node.output) if name]
        unknown = [name for name in names if name not in shapes]
        if unknown:
            raise ModelFileError(node.name, f"has a tensor of unknown shape ({unknown[0]})", "export the model again")

        def sizes(tensors: Iterable[str]) -> dict[str, int]:
            return {name: math.prod(shapes[name]) * width(types[name]) for name in tensors if name}

        factors = [quantised.get(name, types[name]) for name in node.input[:2] if name]
        macs = _macs(node, shapes)
        costs.append(
            NodeCost(
                name=node.name,
                kind=node.op_type,
                macs=macs,
                least=int(macs * _needed(node, shapes)),
                reads=sizes(node.input),
                writes=sizes(node.output),
                # Of two types, the wider is what the runtime multiplies in.
                type=max(factors, key=width),
            )
        )
    return costs


def costs_of_file(path: Path, *, batch: int = 1) -> list[NodeCost]:
    """`node_costs` of a call on as many frames as the file takes, `batch` where it takes any number.

    Raises:
        ModelFileError: a shape cannot be told.
    """
    return node_costs(onnx.load(path), batch=batch)


def macs_by_type(model: onnx.ModelProto) -> dict[str, int]:
    """Multiplications of a call on one frame, by the type of their factors: {"FLOAT16": ..., "INT8": ...}."""
    found: dict[str, int] = {}
    for cost in node_costs(model):
        if cost.macs:
            name = TensorProto.DataType.Name(cost.type)
            found[name] = found.get(name, 0) + cost.macs
    return found


def _needed(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]) -> float:
    """The share of a convolution's multiplications that the quickest algorithm needs.

    m results of a window of r numbers take m + r - 1 multiplications where it moves by one number: more than one a
    result, instead of r (Winograd, "Arithmetic Complexity of Computations", 1980; on GPUs: Lavin and Gray, "Fast
    Algorithms for Convolutional Neural Networks", 2016). A window that moves by s is s such windows side by side, which
    makes min(r, s).
    """
    if node.op_type not in ("Conv", "ConvTranspose"):
        return 1.0
    window = shapes[node.input[1]][2:]
    given = {attribute.name: list(attribute.ints) for attribute in node.attribute}
    strides, gaps = (given.get(name, [1] * len(window)) for name in ("strides", "dilations"))
    # Of a window with gaps, its numbers fall on s / gcd(s, gap) of the s places.
    least = [min(r, s // math.gcd(s, gap)) for r, s, gap in zip(window, strides, gaps, strict=True)]
    return float(math.prod(least) / math.prod(window))


def width(kind: int) -> int:
    """Bytes of a number of an ONNX element type."""
    return int(helper.tensor_dtype_to_np_dtype(kind).itemsize)


def of_batch(model: onnx.ModelProto, batch: int) -> onnx.ModelProto:
    """The graph for exactly N frames, its own shapes known; `model` itself where it is that already."""
    first = model.graph.input[0].type.tensor_type.shape.dim[0]
    if first.dim_value:
        return model
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    # What the file says of tensors between is in terms of N.
    del fixed.graph.value_info[:]
    fixed.graph.input[0].type.tensor_type.shape.dim[0].dim_value = batch
    for value in fixed.graph.output:
        value.type.tensor_type.shape.dim[0].dim_value = batch
    folded = onnx_ir.from_proto(fixed)
    for _ in range(2):
        optimizer.fold_constants(folded, onnx_shape_inference=True, output_size_limit=_FOLD_LIMIT)
        optimizer.remove_unused_nodes(folded)
    return onnx_ir.to_proto(folded)


def tensors(model: onnx.ModelProto) -> tuple[dict[str, tuple[int, ...]], dict[str, int]]:
    """Shape and element type of every tensor."""
    inferred = shape_inference.infer_shapes(model, data_prop=True).graph
    shapes: dict[str, tuple[int, ...]] = {weight.name: tuple(weight.dims) for weight in inferred.initializer}
    types: dict[str, int] = {weight.name: weight.data_type for weight in inferred.initializer}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        tensor = value.type.tensor_type
        types[value.name] = tensor.elem_type
        dims = tensor.shape.dim
        if tensor.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
            shapes[value.name] = tuple(dim.dim_value for dim in dims)
    return shapes, types


def _macs(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]) -> int:
    if node.op_type not in PRODUCTS:
        return 0
    left, right, out = shapes[node.input[0]], shapes[node.input[1]], shapes[node.output[0]]
    if node.op_type == "Conv":
        return math.prod(out) * math.prod(right[1:])
    if node.op_type == "ConvTranspose":
        return math.prod(left) * math.prod(right[1:])
    transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return math.prod(out) * left[0 if transposed else -1]
