"""How much a graph's result suffers from each of its nodes in lower precision: one node at a time, all others in fp32.

All candidates live in one graph. Beside each tensor in question stands what it would be in lower precision, and an
input of the graph, the number of the one that is on, chooses: one session serves all runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from segface_edge.engines.ort.session import cpu_session
from segface_edge.errors import ParityError
from segface_edge.pictures.geometry import UInt8Array

_ACTIVE = "active_candidate"
_NONE = -1


@dataclass(frozen=True, kw_only=True)
class Rounding:
    """A tensor in lower precision and back.

    Attributes:
        tensor: which.
        reader: the name of the one node that reads it so; None: all, because the node that makes it rounds it.
        nodes: from `tensor` to the last node's output.
        weights: constants of these nodes.
    """

    tensor: str
    reader: str | None
    nodes: Sequence[onnx.NodeProto]
    weights: Sequence[onnx.TensorProto] = ()


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A node in lower precision.

    Attributes:
        name, kind: of the node.
        roundings: what changes.
    """

    name: str
    kind: str
    roundings: Sequence[Rounding] = field(default_factory=tuple)


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """What one node in lower precision does to the logits.

    Attributes:
        name, kind: of the node.
        error: root mean square of the logits' change over that of the logits; inf where the result is not finite.
        turned: share of pixels whose label changes.
    """

    name: str
    kind: str
    error: float
    turned: float


def sensitivities(
    model: onnx.ModelProto,
    candidates: Sequence[Candidate],
    frames: Sequence[UInt8Array],
    progress: Callable[[int], None] = lambda _: None,
) -> list[Sensitivity]:
    """Runs every candidate on every frame.

    Args:
        model: a deploy graph in fp32, weights plain.
        candidates: see above.
        frames: (S, S, 3) uint8 RGB each.
        progress: called with the number of runs since the last call; there are (candidates + 1) x frames.

    Raises:
        ParityError: the graph itself gives logits that are not finite.
    """
    switched, logits, axis = _switchable(model, candidates)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    # Nothing may be fused across a rounding, or removed as a Cast to and fro.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = cpu_session(switched.SerializeToString(), options)
    source = model.graph.input[0].name
    squares, turned = np.zeros(len(candidates)), np.zeros(len(candidates))
    reference = 0.0
    pixels = 0

    def run(frame: UInt8Array, active: int) -> npt.NDArray[np.float64]:
        feed = {source: as_batch(model, frame), _ACTIVE: np.array(active, np.int64)}
        found: npt.NDArray[np.float64] = session.run([logits], feed)[0][:1].astype(np.float64)
        progress(1)
        return found

    for frame in frames:
        exact = run(frame, _NONE)
        if not np.isfinite(exact).all():
            raise ParityError(
                "the fp32 graph", "gives logits that are not finite", "the weights are damaged: check them"
            )
        labels = exact.argmax(axis)
        reference += float((exact**2).sum())
        pixels += labels.size
        for index in range(len(candidates)):
            rounded = run(frame, index)
            squares[index] += float(((rounded - exact) ** 2).sum())
            turned[index] += np.count_nonzero(rounded.argmax(axis) != labels)
    errors = np.where(np.isfinite(squares), np.sqrt(squares / reference), np.inf)
    return [
        Sensitivity(name=candidate.name, kind=candidate.kind, error=float(error), turned=float(count / pixels))
        for candidate, error, count in zip(candidates, errors, turned, strict=True)
    ]


def as_batch(model: onnx.ModelProto, frame: UInt8Array) -> UInt8Array:
    """(S, S, 3) -> (N, S, S, 3): the frame so many times as the file takes a call, once where it takes any number."""
    return np.repeat(frame[None], model.graph.input[0].type.tensor_type.shape.dim[0].dim_value or 1, axis=0)


def _switchable(model: onnx.ModelProto, candidates: Sequence[Candidate]) -> tuple[onnx.ModelProto, str, int]:
    """The graph with all candidates in it, the name of its logits, and the axis of their classes."""
    switched = onnx.ModelProto()
    switched.CopyFrom(model)
    graph = switched.graph
    logits, axis = _logits(graph)
    makers = {name: node for node in graph.node for name in node.output}
    nodes = {node.name: node for node in graph.node}
    after: dict[str, list[onnx.NodeProto]] = {}  # by the maker's name; "" for weights and inputs
    for index, candidate in enumerate(candidates):
        flag = f"{_ACTIVE}.{index}"
        graph.initializer.append(numpy_helper.from_array(np.array(index, np.int64), f"{flag}.number"))
        after.setdefault("", []).append(helper.make_node("Equal", [_ACTIVE, f"{flag}.number"], [flag]))
        for place, rounding in enumerate(candidate.roundings):
            graph.initializer.extend(rounding.weights)
            tensor, maker = rounding.tensor, makers.get(rounding.tensor)
            chosen = f"{flag}.{place}"
            if rounding.reader is None:
                # All readers read the choice, which takes the tensor's name.
                assert maker is not None
                exact = f"{flag}.{place}.exact"
                maker.output[list(maker.output).index(tensor)] = exact
                chosen = tensor
            else:
                exact = tensor
                reader = nodes[rounding.reader]
                reader.input[list(reader.input).index(tensor)] = chosen
            choice = _choice(flag, exact, chosen, rounding)
            after.setdefault(maker.name if maker else "", []).append(choice)
    ordered = list(after.get("", []))
    for node in list(graph.node):
        ordered += [node, *after.get(node.name, [])]
    del graph.node[:]
    graph.node.extend(ordered)
    del graph.value_info[:]
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(logits, TensorProto.FLOAT, None))
    graph.input.append(helper.make_tensor_value_info(_ACTIVE, TensorProto.INT64, []))
    return switched, logits, axis


def _choice(flag: str, exact: str, chosen: str, rounding: Rounding) -> onnx.NodeProto:
    """chosen = the rounded tensor if flag else the exact one."""
    rounded = [onnx.NodeProto.FromString(node.SerializeToString()) for node in rounding.nodes]
    for node in rounded:
        for place, name in enumerate(node.input):
            if name == rounding.tensor:
                node.input[place] = exact
    branches = {
        "then_branch": (rounded, rounded[-1].output[0]),
        "else_branch": ([helper.make_node("Identity", [exact], [f"{chosen}.same"])], f"{chosen}.same"),
    }
    return helper.make_node(
        "If",
        [flag],
        [chosen],
        name=f"{chosen}.if",
        **{
            branch: helper.make_graph(body, branch, [], [helper.make_tensor_value_info(out, TensorProto.FLOAT, None)])
            for branch, (body, out) in branches.items()
        },
    )


def _logits(graph: onnx.GraphProto) -> tuple[str, int]:
    """The tensor that argmax reads, in whatever order of pixels, else the output; and the axis of its classes."""
    for node in graph.node:
        if node.op_type == "ArgMax":
            return node.input[0], next(attribute.i for attribute in node.attribute if attribute.name == "axis")
    return graph.output[0].name, 1
