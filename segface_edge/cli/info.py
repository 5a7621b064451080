"""`segface-edge info`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segface_edge.spec import ModelSpec

from .options import ModelFile, json_option, say

if TYPE_CHECKING:
    from segface_edge.engines.nvidia.plan import PlanInfo


_WARPED = (
    "warp: outside: S x S goes in through the RoI tanh warp, by five landmarks, and what comes out is brought back "
    "(segface_edge/pictures/warping.py)"
)


@click.command(
    "info",
    epilog="""\b
Examples:
  segface-edge info                      the bundled model
  segface-edge info model.onnx --json -
  segface-edge info model.plan           also where there is no GPU""",
)
@click.argument("model", required=False, type=ModelFile())
@json_option
def command(model: Path | None, json_to: str | None) -> None:
    """Show what MODEL takes and gives, its label order and its terms of use."""
    from segface_edge import zoo
    from segface_edge.engines import PLAN_SUFFIXES, open_engine
    from segface_edge.engines.nvidia.plan import read_plan

    path = model or zoo.DEFAULT_MODEL
    # What a plan says of itself can be read where it cannot be run.
    plan = read_plan(path)[1] if path.suffix.lower() in PLAN_SUFFIXES else None
    if plan:
        spec = plan.spec
    else:
        with open_engine(path) as engine:
            spec = engine.spec
    inputs, outputs = contract(spec)
    document: dict[str, Any] = {"file": str(path), "inputs": inputs, "outputs": outputs, "spec": asdict(spec)}
    lines = _text(path, spec, inputs, outputs)
    if plan:
        document["plan"] = json.loads(plan.to_json())
        lines += _plan(plan)
    say(document, json_to, "\n".join(lines))


def _plan(plan: PlanInfo) -> list[str]:
    from segface_edge.engines.nvidia.runtimes import RUNTIMES

    layers = ", ".join(f"{count} {name}" for name, count in sorted(plan.precision.items()))
    least, usual, most = plan.batches
    return [
        "",
        f"plan: {RUNTIMES[plan.runtime].title} {plan.runtime_version}, for compute capability {', '.join(plan.compute)}"
        + (f" ({plan.gpu})" if plan.gpu else ""),
        f"frames a call: {least} to {most}, fastest at {usual}",
        f"layers by the type of their first input: {layers}",
        f"built from: {plan.onnx}, sha256 {plan.onnx_sha256}",
        f"again: {plan.rebuild(Path(plan.onnx).with_suffix('.plan'))}",
    ]


def contract(spec: ModelSpec) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Inputs and outputs as a C or C++ program needs them: name, type, shape, meaning."""
    n, s, k = "N" if spec.batch is None else str(spec.batch), spec.size, len(spec.classes)
    if spec.graph == "deploy":
        inputs = {"name": "frames", "type": "uint8", "shape": f"{n}x{s}x{s}x3", "meaning": "RGB, interleaved, 0 to 255"}
    else:
        mean, std = (" ".join(f"{value:g}" for value in values) for values in (spec.mean, spec.std))
        meaning = f"RGB planes, (pixel / 255 - mean) / std, mean {mean}, std {std}"
        inputs = {"name": "images", "type": "float32", "shape": f"{n}x3x{s}x{s}", "meaning": meaning}
    known = {
        "labels": {"type": "uint8", "shape": f"{n}x{s}x{s}", "meaning": "class id of each pixel"},
        "confidence": {"type": "uint8", "shape": f"{n}x{s}x{s}", "meaning": "probability of the label times 255"},
        "logits": {
            "type": "float32",
            "shape": f"{n}x{k}x{s}x{s}",
            "meaning": "one plane per class; argmax is the label",
        },
    }
    points = {
        "name": "landmarks",
        "type": "float32",
        "shape": f"{n}x5x2",
        "meaning": "x y of two eyes, nose, two corners of the mouth, the left one in the picture first; pixels",
    }
    more = [points] if spec.warp == "inside" else []
    return [inputs, *more], [{"name": kind, **known[kind]} for kind in spec.outputs]


def _text(path: Path, spec: ModelSpec, inputs: list[dict[str, str]], outputs: list[dict[str, str]]) -> list[str]:
    def tensors(rows: list[dict[str, str]]) -> list[str]:
        return [f"  {row['name']:<11} {row['type']:<8} {row['shape']:<16} {row['meaning']}" for row in rows]

    provenance = ", ".join(f"{key} {value}" for key, value in sorted(spec.provenance.items()))
    return [
        f"{path}",
        f"SegFace, backbone {spec.backbone}, {spec.graph} graph, {spec.precision}, trained at "
        f"{spec.trained_size or 'an unknown size'}",
        "",
        "input, memory order as written, last dimension fastest",
        *tensors(inputs),
        "output",
        *tensors(outputs),
        "",
        "before: scale the photo with its aspect ratio kept to S x S (antialiased bicubic), centre it, pad with "
        "RGB 124 116 104",
        *([_WARPED] if spec.warp == "outside" else []),
        f"labels: {spec.label_order}",
        "  " + " ".join(f"{index}={name}" for index, name in enumerate(spec.classes)),
        f"terms of use: {spec.terms}",
        f"made from: {provenance or 'not stated'}",
    ]
