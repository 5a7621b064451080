"""`segface-edge info`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segface_edge.spec import ModelSpec

from .contract import Row, around, contract, lines
from .options import ModelFile, json_option, say

if TYPE_CHECKING:
    from segface_edge.engines.nvidia.plan import PlanInfo
    from segface_edge.engines.sidecar import Sidecar

# Files that say themselves what they are; the others have a document beside them.
_TELL_THEMSELVES = (".onnx", ".safetensors", ".pt", ".pth")


@click.command(
    "info",
    epilog="""\b
Examples:
  segface-edge info                      the bundled model
  segface-edge info model.onnx --json -
  segface-edge info model.plan           also where there is no GPU
  segface-edge info model.param          a file of export --target, also without its runtime""",
)
@click.argument("model", required=False, type=ModelFile())
@json_option
def command(model: Path | None, json_to: str | None) -> None:
    """Show what MODEL, a file or a name, takes and gives, its label order and its terms of use."""
    from segface_edge import zoo
    from segface_edge.engines import PLAN_SUFFIXES, open_engine
    from segface_edge.engines.documents import document_beside
    from segface_edge.engines.nvidia.plan import read_plan
    from segface_edge.engines.sidecar import read_sidecar

    path = model or zoo.DEFAULT_MODEL
    suffix, plan, sidecar = path.suffix.lower(), None, None
    # What a plan or a file of another runtime says of itself can be read where it cannot be run.
    if suffix in PLAN_SUFFIXES:
        plan = read_plan(path)[1]
    elif suffix not in _TELL_THEMSELVES and document_beside(path).is_file():
        sidecar = read_sidecar(path)
    known = plan or sidecar
    if known:
        spec = known.spec
    else:
        with open_engine(path) as engine:
            spec = engine.spec
    inputs, outputs = contract(spec, sidecar.target if sidecar else None)
    document: dict[str, Any] = {"file": str(path), "inputs": inputs, "outputs": outputs, **around(spec)}
    document["spec"] = asdict(spec)
    text = _text(path, spec, inputs, outputs)
    if plan:
        document["plan"] = json.loads(plan.to_json())
        text += _plan(plan)
    if sidecar:
        document["target"] = {"name": sidecar.target, "files": sidecar.files, "versions": sidecar.versions}
        text += _target(path, sidecar)
    say(document, json_to, "\n".join(text))


def _target(path: Path, sidecar: Sidecar) -> list[str]:
    files = ", ".join(
        f"{path.with_suffix(suffix).name} {told['bytes']} bytes" for suffix, told in sidecar.files.items()
    )
    versions = ", ".join(f"{name} {version}" for name, version in sidecar.versions.items())
    return ["", f"for {sidecar.target}: {files}", f"made and checked by: {versions}"]


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


def _text(path: Path, spec: ModelSpec, inputs: list[Row], outputs: list[Row]) -> list[str]:
    provenance = ", ".join(f"{key} {value}" for key, value in sorted(spec.provenance.items()))
    return [
        f"{path}",
        f"SegFace, backbone {spec.backbone}, {spec.graph} graph, {spec.precision}, trained at "
        f"{spec.trained_size or 'an unknown size'}",
        "",
        *lines(spec, inputs, outputs),
        f"terms of use: {spec.terms}",
        f"made from: {provenance or 'not stated'}",
    ]
