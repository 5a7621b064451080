"""ONNX Runtime's own profile of a file, and which of the file's nodes each operator of it stands for.

ONNX Runtime fuses, renames and lays out anew before it runs a graph. It can write the graph that it runs; there, what
an operator makes is still called what the file calls it, but for convolutions in blocks of channels, which are named
after it, and for fp16 that is computed in fp32, which has a prefix. Most operators keep their own names, too. A node
whose result has gone from that graph is computed in the operator that makes what is read of it next.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Sequence
from itertools import chain
from pathlib import Path

from segface_edge.engines.layers import Layer, Profile

from .nodes import Node, read_nodes

_BLOCKED = "_nchwc"
# Before what is made in fp32 for a node of fp16; and the operators that change the one into the other.
_WIDENED, _CAST = "InsertedPrecisionFreeCast_", "Cast"
_KERNEL = "_kernel_time"
_RUN = "model_run"


def read_profile(events: Path, ran: Sequence[Node], graph: Path, inputs: Collection[str], *, warmup: int) -> Profile:
    """Layers of a session's runs.

    Args:
        events: the profile that the session wrote.
        ran: nodes of the graph that it ran.
        graph: the file.
        inputs: names of the file's inputs.
        warmup: runs at the start that do not count.
    """
    times: dict[str, list[float]] = defaultdict(list)
    kinds: dict[str, str] = {}
    runs: list[float] = []
    for event in json.loads(events.read_text(encoding="utf-8")):
        if event.get("name") == _RUN:
            runs.append(event["dur"] / 1000)
        elif event.get("cat") == "Node" and event["name"].endswith(_KERNEL):
            name = event["name"].removesuffix(_KERNEL)
            times[name].append(event["dur"] / 1000)
            kinds[name] = event["args"]["op_name"]
    covered = covers(ran, read_nodes(graph.read_bytes()), inputs)
    layers = tuple(
        Layer(name=name, kind=kinds[name], covers=tuple(covered.get(name, ())), ms=tuple(ms[warmup:]))
        for name, ms in times.items()
    )
    return Profile(layers=layers, ms=tuple(runs[warmup:]), graph=graph)


def covers(ran: Sequence[Node], file: Sequence[Node], inputs: Collection[str]) -> dict[str, list[str]]:
    """{name of a node that runs: names of the file's nodes that are computed in it, in order}.

    What depends on weights alone is computed when the file is opened, and in none.

    Args:
        ran: nodes of the graph that is run.
        file: nodes of the file.
        inputs: names of the file's inputs.
    """
    makers = {name: node.name for node in ran for name in node.outputs}
    makers |= {node.name.removesuffix(_BLOCKED): node.name for node in ran if node.name.endswith(_BLOCKED)}
    makers |= {
        name.removeprefix(_WIDENED): node.name
        for node in ran
        for name in node.outputs
        if name.startswith(_WIDENED) and node.operator != _CAST
    }
    names = {node.name for node in ran}
    readers: dict[str, list[str]] = defaultdict(list)
    varying = set(inputs)
    running = []
    for node in file:
        if varying.isdisjoint(node.inputs):
            continue
        varying.update(node.outputs)
        running.append(node)
        for name in node.inputs:
            readers[name].append(node.name)
    owners: dict[str, str | None] = {}
    for node in reversed(running):
        made = (makers.get(name) for name in node.outputs)
        later = (owners[reader] for name in node.outputs for reader in readers[name])
        named = (node.name,) if node.name in names else ()
        owners[node.name] = next((owner for owner in chain(made, named, later) if owner is not None), None)
    found: dict[str, list[str]] = defaultdict(list)
    for node in running:
        if (owner := owners[node.name]) is not None:
            found[owner].append(node.name)
    return found
