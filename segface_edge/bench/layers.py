"""Where the time of a run goes: layer by layer, over the blocks of the network, over the kinds of operators."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from segface_edge.engines.base import Engine
from segface_edge.engines.layers import Layer, Profile
from segface_edge.engines.ort.nodes import Node, read_nodes

from .devices import Device
from .pipeline import Pipeline
from .roofline import LayerWork, NodeWork, roofline_document

RUNS = 30

# What a weight's name says of the block that it belongs to, in the deploy graph and in the plain network. The first
# that is found counts; `{}` is the number in the name, from 1.
_NAMES = (
    (r"(?:^|\.)backbone\.", "backbone"),
    (r"(?:^|\.)(?:fusion|linear_c|linear_fuse)\.", "fusion"),
    (r"final_attn_token_to_image\.", "tokens to image, last"),
    (r"(?:^|\.)tokens_to_image\.(\d+)\.|layers\.(\d+)\.cross_attn_token_to_image\.", "tokens to image {}"),
    (r"(?:^|\.)image_(?:to_tokens|norms)\.(\d+)\.", "image to tokens {}"),
    (r"layers\.(\d+)\.(?:cross_attn_image_to_token|norm4)\.", "image to tokens {}"),
    (r"(?:^|\.)(?:head|output_upscaling|output_hypernetwork_mlps|skip)\.", "head"),
    (r"(?:^|\.)(?:blocks|layers)\.(\d+)\.", "tokens {}"),
)
# Before the first weight.
_FRAMES = "frames"
# Of layers that stand for no node of the file: the runtime changes the layout of a tensor, for example.
_RUNTIME = "runtime"
# Of all layers, where the file is not here whose nodes they stand for.
_NETWORK = "network"
_SLOWEST = 12
_COUNTED = ("macs", "bytes", "roof_ms")


def blocks_of(nodes: Sequence[Node]) -> dict[str, str]:
    """{name of a node: the block of the network that it belongs to}: by the name of a weight that it reads; without
    one, the block of the latest node that it reads from.

    Args:
        nodes: of a file of segface-edge, in order.
    """
    made: dict[str, tuple[int, str]] = {}  # of a tensor: by which node, in which block
    found: dict[str, str] = {}
    for at, node in enumerate(nodes):
        said = next((block for name in node.inputs if (block := _said(name)) is not None), None)
        # Sides that an open batch is reshaped by are computed from the frames, and say nothing.
        before = [made[name] for name in node.inputs if name in made and made[name][1] != _FRAMES]
        found[node.name] = said or max(before, default=(0, _FRAMES))[1]
        made.update(dict.fromkeys(node.outputs, (at, found[node.name])))
    return found


def _said(name: str) -> str | None:
    for pattern, block in _NAMES:
        if match := re.search(pattern, name):
            number = next((int(group) for group in match.groups() if group is not None), 0)
            return block.format(number + 1)
    return None


def measured_layers(
    pipeline: Pipeline,
    work_of: Callable[[Path, int], Mapping[str, NodeWork]] | None,
    device_of: Callable[[Engine], Device | None],
) -> dict[str, Any]:
    """`layers_document` of an engine's runs on its pipeline's frame.

    Args:
        pipeline: of an engine that tells.
        work_of: counts what the nodes of a file ask for in a call on so many frames.
        device_of: whose peaks the layers are held against.

    Raises:
        UsageError: the engine does not tell.
    """
    engine = pipeline.engine
    frames = np.repeat(pipeline.frame[None], engine.spec.batch or engine.min_batch, axis=0)
    profile = engine.profile(frames, RUNS)
    graph = profile.graph
    if graph is None:
        return layers_document(profile, [], None)
    work = None if work_of is None else work_of(graph, len(frames))
    return layers_document(profile, read_nodes(graph.read_bytes()), work, None if work is None else device_of(engine))


def layers_document(
    profile: Profile, nodes: Sequence[Node], work: Mapping[str, NodeWork] | None, device: Device | None = None
) -> dict[str, Any]:
    """JSON-ready, as `report.schema.json` describes it. Times are means over the faster half of the runs, in which
    nothing else came between; shares are those of the layers' sum.

    Args:
        profile: an engine's.
        nodes: of the file, in order; none where it is not here.
        work: of its nodes by name; None where it was not counted.
        device: whose peaks the layers are held against; None where they are not known.
    """
    blocks = blocks_of(nodes)
    asked = LayerWork(work, device)
    fast = sorted(range(len(profile.ms)), key=profile.ms.__getitem__)[: (len(profile.ms) + 1) // 2]
    nowhere = _RUNTIME if nodes else _NETWORK
    rows = [_row(layer, fast, blocks, nowhere, asked) for layer in profile.layers]
    total = sum(row["ms"] for row in rows) or 1.0
    ran = {name for layer in profile.layers for name in layer.covers}
    order = [*dict.fromkeys(block for name, block in blocks.items() if name in ran), nowhere]
    return {
        "runs": len(fast),
        "run_ms": fmean(profile.ms[run] for run in fast),
        "layers_ms": total,
        "roofline": None if device is None else roofline_document(device),
        "blocks": sorted(_grouped(rows, "block", total), key=lambda row: order.index(row["block"])),
        "kinds": sorted(_grouped(rows, "kind", total), key=lambda row: -row["ms"]),
        "layers": [{**row, "share": row["ms"] / total} for row in rows],
    }


def _row(
    layer: Layer, runs: Sequence[int], blocks: Mapping[str, str], nowhere: str, asked: LayerWork
) -> dict[str, Any]:
    return {
        "name": layer.name,
        "kind": layer.kind,
        # The last of what is computed in one is what the runtime named it after.
        "block": blocks[layer.covers[-1]] if layer.covers else nowhere,
        "nodes": list(layer.covers),
        "ms": fmean(layer.ms[run] for run in runs),
        **asked.of(layer.covers),
    }


def _grouped(rows: Sequence[Mapping[str, Any]], key: str, total: float) -> list[dict[str, Any]]:
    """Sums over the rows of equal `key`, in order of their first."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        one = found.setdefault(row[key], {key: row[key], "ms": 0.0, **dict.fromkeys(_COUNTED)})
        one["ms"] += row["ms"]
        for what in _COUNTED:
            if row[what] is not None:
                one[what] = (one[what] or 0) + row[what]
    return [{**one, "share": one["ms"] / total} for one in found.values()]


def layers_lines(document: Mapping[str, Any]) -> list[str]:
    """For people: the blocks, and the layers that take longest."""
    outside = document["run_ms"] - document["layers_ms"]
    lines = [
        f"where the time goes: {document['run_ms']:.2f} ms a run (mean of the faster {document['runs']}), "
        f"{document['layers_ms']:.2f} ms of it in layers, {outside:.2f} ms between them",
        f"  {'block':<24} {'ms':>8} {'share':>7} {'M mult.':>9} {'G mult./s':>10} {'MB':>8} {'of roof':>8}",
        *(_line(row["block"], row) for row in document["blocks"]),
        *_peaks_line(document["roofline"]),
        "  slowest layers",
    ]
    slowest = sorted(document["layers"], key=lambda row: -row["ms"])[:_SLOWEST]
    return [*lines, *(_line(row["kind"], row, f"  {row['block']}: {row['name']}") for row in slowest)]


def _peaks_line(roofline: Mapping[str, Any] | None) -> list[str]:
    if roofline is None:
        return []
    peaks = ", ".join(f"{value / 1e9:.0f} G in {name}" for name, value in roofline["operations_per_second"].items())
    return [
        f"  roof: {roofline['title']}, operations a second (two a multiplication): {peaks}; "
        f"{roofline['bytes_per_second'] / 1e9:.1f} GB/s. Above 100 %: from caches, or fewer multiplications"
    ]


def _line(label: str, row: Mapping[str, Any], more: str = "") -> str:
    cells = [f"{'-':>9}", f"{'-':>10}", f"{'-':>8}", f"{'-':>8}"]
    if row["macs"] is not None:
        cells[0] = f"{row['macs'] / 1e6:9.1f}"
        cells[2] = f"{row['bytes'] / 1e6:8.2f}"
        if row["macs"] and row["ms"]:
            cells[1] = f"{row['macs'] / row['ms'] / 1e6:10.1f}"
    if row["roof_ms"] is not None and row["ms"]:
        cells[3] = f"{row['roof_ms'] / row['ms']:8.0%}"
    return f"  {label:<24} {row['ms']:8.3f} {row['share']:7.1%} {' '.join(cells)}{more}"
