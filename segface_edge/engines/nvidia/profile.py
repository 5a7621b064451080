"""TensorRT's own times of a plan's layers, and which of the ONNX file's nodes each of them computes."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from segface_edge.engines.layers import Layer, Profile
from segface_edge.engines.ort.nodes import read_nodes

from .plan import PlanInfo, PlanWarning

# What the inspector tells of a layer: each node that the builder made it of. Kernels that the builder writes itself
# have names of their own, so that nothing else does.
_NODE = re.compile(r"\[ONNX Layer: ([^\]]+)\]")
# Between the names of nodes in a layer's name, where there is no such account.
_BETWEEN = re.compile(r"\s*(?:\+|\|\|)\s*")


def read_layers(text: str, known: Collection[str]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """{name of a layer: its kind, names of the file's nodes that it computes}.

    Args:
        text: the inspector's JSON. Of a plan that was built without details it has names alone.
        known: names of the file's nodes.
    """
    try:
        told = json.loads(text).get("Layers", [])
    except (ValueError, AttributeError):
        told = []
    found = {}
    for one in told:
        layer = one if isinstance(one, dict) else {"Name": str(one)}
        name = str(layer.get("Name", ""))
        nodes = _NODE.findall(str(layer.get("Metadata", ""))) or _BETWEEN.split(name)
        kind = str(layer.get("LayerType") or "layer")
        found[name] = kind, tuple(dict.fromkeys(node for node in nodes if node in known))
    return found


def to_profile(
    runs: Sequence[Sequence[tuple[str, float]]], seconds: Sequence[float], text: str, graph: Path | None
) -> Profile:
    """Layers of runs.

    Args:
        runs: of each run (name of a layer, milliseconds), in the order in which they were reported.
        seconds: of each run, as the device measured it.
        text: the inspector's JSON.
        graph: the ONNX file that the plan was built of; None where it is not here.
    """
    order = {} if graph is None else {node.name: at for at, node in enumerate(read_nodes(graph.read_bytes()))}
    told = read_layers(text, order)
    times: dict[str, list[float]] = {name: [0.0] * len(runs) for run in runs for name, _ in run}
    for at, run in enumerate(runs):
        for name, ms in run:
            times[name][at] += ms
    layers = []
    for name, taken in times.items():
        kind, covers = told.get(name, ("layer", ()))
        layers.append(Layer(name=name, kind=kind, covers=tuple(sorted(covers, key=order.__getitem__)), ms=tuple(taken)))
    return Profile(layers=tuple(layers), ms=tuple(1000 * one for one in seconds), graph=graph)


def make_timer(trt: ModuleType) -> Any:
    """An `IProfiler` that keeps, in `layers`, what it was told since that was emptied: (name, milliseconds)."""

    class Timer(trt.IProfiler):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)
            self.layers: list[tuple[str, float]] = []

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            self.layers.append((layer_name, float(ms)))

    return Timer()


def onnx_of(plan: Path, info: PlanInfo | None) -> Path | None:
    """The very file that a plan was built of: where it was then, or beside the plan. None, with a `PlanWarning` that
    says so, where it is not here."""
    if info is None:
        warnings.warn(PlanWarning(f"{plan}: no document beside it says of which file it was built"), stacklevel=3)
        return None
    for place in (Path(info.onnx), plan.parent / Path(info.onnx).name):
        if place.is_file() and hashlib.sha256(place.read_bytes()).hexdigest() == info.onnx_sha256:
            return place
    warnings.warn(
        PlanWarning(
            f"{plan}: {Path(info.onnx).name}, of which it was built, is not here: layers are not told by blocks of the "
            "network, nor is their work counted; put the file beside the plan"
        ),
        stacklevel=3,
    )
    return None
