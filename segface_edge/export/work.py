"""What a file of segface-edge must compute and move for a number of faces: the least that any runtime can do with."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto

from segface_edge.engines.ort.metadata import read_metadata

from .cost import PRODUCTS, NodeCost, node_costs, of_batch, tensors, width

_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)
_WIDTHS = {"fp32": 4, "fp16": 2, "int8": 1}
# A multiplication and an addition.
_OPERATIONS = 2


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a number of faces asks for.

    Attributes:
        faces: how many.
        calls: of the file, each of as many faces as it takes.
        operations: {precision: multiplications and additions of the products, all calls together}: as many as no
            algorithm saves.
        written: the same as the graph has them, all precisions together.
        weights: bytes of what does not depend on the frames, once: in the file's form or the precision's, whichever is
            smaller.
        frames, results: bytes of the inputs and outputs of all calls.
        passes: precision, operations and bytes of each operator of a call, as if none were fused.
    """

    faces: int
    calls: int
    operations: dict[str, int]
    written: int
    weights: int
    frames: int
    results: int
    passes: tuple[tuple[str, float, float], ...]

    @property
    def traffic(self) -> int:
        """Bytes that must be read or written, everything else kept on the chip."""
        return self.weights + self.frames + self.results


def file_work(path: Path, *, faces: int = 1, precision: str | None = None) -> Work:
    """The work of an ONNX file.

    Args:
        path: a file that `segface-edge export` or `quantize` wrote.
        faces: how many, in as few calls as the file allows.
        precision: what all products would run in, were the file lowered: `fp32`, `fp16` or `int8`; None: each as the
            file says.

    Raises:
        ModelFileError, IncompatibleEngineError: the file is no such file.
    """
    batch = read_metadata(path).spec.batch
    return graph_work(onnx.load(path), faces=faces, batch=batch, precision=precision)


def graph_work(model: onnx.ModelProto, *, faces: int, batch: int | None, precision: str | None = None) -> Work:
    """The work of a graph.

    Args:
        model: the graph.
        faces: how many.
        batch: frames that a call takes; None: any number.
        precision: as for `file_work`.

    Raises:
        ModelFileError: a shape cannot be told.
    """
    calls = 1 if batch is None else math.ceil(faces / batch)
    written = model
    model = of_batch(model, faces)
    costs = node_costs(model)
    operations: dict[str, int] = {}
    for cost in costs:
        if cost.macs:
            name = precision or cost.precision
            operations[name] = operations.get(name, 0) + calls * _OPERATIONS * cost.least
    shapes, types = tensors(model)
    weights = {weight.name for weight in model.graph.initializer}

    def moved(names: Iterable[str]) -> int:
        return calls * sum(math.prod(shapes[name]) * width(types[name]) for name in names)

    return Work(
        faces=faces,
        calls=calls,
        operations=operations,
        written=calls * _OPERATIONS * sum(cost.macs for cost in costs),
        # What is folded when the number of faces is known may be more than what it is made of, or less.
        weights=min(_weights(model, precision), _weights(written, precision)),
        frames=moved(value.name for value in model.graph.input if value.name not in weights),
        results=moved(value.name for value in model.graph.output),
        passes=tuple(_pass(cost, precision) for cost in costs),
    )


def _pass(cost: NodeCost, precision: str | None) -> tuple[str, float, float]:
    name, traffic = cost.precision, float(cost.bytes)
    if precision is not None and cost.type in _FLOATS:
        traffic *= min(1.0, _WIDTHS[precision] / width(cost.type))
    return (precision or name) if cost.kind in PRODUCTS else name, float(_OPERATIONS * cost.macs), traffic


def _size(count: int, kind: int, precision: str | None) -> int:
    """Bytes of so many numbers in their own type or, of floats, in the precision's, whichever is smaller."""
    return count * (min(width(kind), _WIDTHS[precision]) if precision and kind in _FLOATS else width(kind))


def _weights(model: onnx.ModelProto, precision: str | None) -> int:
    """Bytes of the constants that running nodes take. Each comes into memory in one of two forms: as the file stores
    it, or as what the runtime makes of that when it loads the file (a Cast, a product of weights): the smaller counts,
    and what several are made of counts once."""
    shapes, types = tensors(model)

    def size(name: str) -> int:
        return _size(math.prod(shapes[name]), types[name], precision)

    # Constant -> the stored ones that it is made of.
    made_of = {weight.name: {weight.name} for weight in model.graph.initializer}
    counted: set[str] = set()
    taken: set[str] = set()
    total = 0
    for node in model.graph.node:
        names = [name for name in node.input if name]
        if all(name in made_of for name in names):
            stored = set().union(*(made_of[name] for name in names))
            made_of.update((name, stored) for name in node.output if name)
            continue
        for name in names:
            if name in made_of and name not in taken:
                taken.add(name)
                rest = made_of[name] - counted
                counted |= rest
                parts = sum(size(one) for one in rest)
                total += min(size(name), parts) if name in shapes else parts
    return total
