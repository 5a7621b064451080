"""`segface-edge build`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segface_edge.files import check_place

from .options import ModelFile, beside, check_json, json_option, say, share_bar

if TYPE_CHECKING:
    from segface_edge.engines.nvidia.build import Built
    from segface_edge.engines.nvidia.config import BuildConfig


@click.command(
    "build",
    epilog="""\b
Examples:
  segface-edge build model.onnx -o model.plan
  segface-edge build dynamic.onnx -o model.plan --max-batch 4 --timing-cache timings.bin
  segface-edge build model.onnx -o model.plan --runtime rtx --target sm86,sm89,sm120

\b
The precision is that of the ONNX file: export it with --precision fp16 or int8 first. FILE.plan is NVIDIA's own format
(trtexec --loadEngine reads it); FILE.plan.json beside it says what it is. TensorRT builds for the GPU that it runs on;
TensorRT-RTX, for RTX desktops and laptops, builds for others too, without a GPU.""",
)
@click.argument("model", type=ModelFile())
@click.option("-o", "out", type=click.Path(path_type=Path), help="Output file; default: MODEL.plan.")
@click.option("--runtime", default="tensorrt", show_default=True, help="tensorrt, or rtx for TensorRT-RTX.")
@click.option("--target", help="GPUs that a TensorRT-RTX plan is for: sm86,sm89,sm120; default: the one that is here.")
@click.option("--device", default="cuda", show_default=True, help="cuda or cuda:N, to build on.")
@click.option("--min-batch", type=int, help="Fewest frames a call, with a --dynamic file; default: 1.")
@click.option("--opt-batch", type=int, help="Frames a call that it is fastest at; default: the fewest.")
@click.option("--max-batch", type=int, help="Most frames a call; default: 8.")
@click.option(
    "--workspace", "workspace_mib", type=int, metavar="MIB", help="Memory for trials; default: half the free."
)
@click.option("--opt-level", type=int, default=3, show_default=True, help="0: quick to build, to 5: tries most.")
@click.option("--timing-cache", type=click.Path(path_type=Path), help="File of measured timings: builds again sooner.")
@click.option("--version-compatible", is_flag=True, help="Later versions of TensorRT may run the plan.")
@click.option(
    "--check/--no-check", default=True, help="Compare the plan with the ONNX file on real faces; default: yes."
)
@json_option
def command(
    model: Path, out: Path | None, target: str | None, check: bool, json_to: str | None, **options: Any
) -> None:
    """Build a TensorRT engine of MODEL, an ONNX file that `segface-edge export` wrote, or the name of a model.

    What the engine computes in is read back from it: where it is not the precision of the file, or the labels on real
    faces are not the file's, nothing is written (exit code 4).
    """
    from segface_edge.engines import PLAN_SUFFIXES
    from segface_edge.engines.nvidia.config import BuildConfig, parse_targets

    config = BuildConfig(targets=parse_targets(target) if target else (), **options)
    check_json(json_to)
    if config.timing_cache:
        check_place(config.timing_cache)
    path = out or beside(model, f"{model.stem}{PLAN_SUFFIXES[0]}")
    built = build_checked(model, path, config, check=check)
    say({"path": str(path), **json.loads(built.info.to_json())}, json_to, "\n".join(summary(path, built)))


def build_checked(model: Path, path: Path, config: BuildConfig, *, check: bool = True) -> Built:
    """Builds, compares where the plan can be run here, and writes; for `export --engine` too."""
    from segface_edge.engines.nvidia.build import build
    from segface_edge.engines.nvidia.write import check_plan_place, write_plan
    from segface_edge.evaluation.plan_parity import checked

    check_plan_place(path)
    with share_bar("building") as tell:
        built = build(model, config, progress=lambda _phase, share: tell(share))
    for warning in built.warnings:
        click.echo(f"warning: {' '.join(warning.split())}", err=True)
    if check and built.info.gpu is not None:
        built = checked(model, built, config, path)
    write_plan(path, built, config)
    return built


def summary(path: Path, built: Built) -> list[str]:
    """For people."""
    from segface_edge.engines.nvidia.runtimes import RUNTIMES

    info = built.info
    layers = ", ".join(f"{count} {name}" for name, count in sorted(info.precision.items(), key=lambda item: -item[1]))
    where = f"on {info.gpu} (compute {info.compute[0]})" if info.gpu else f"for compute {', '.join(info.compute)}"
    batches = f"{info.batches[0]} to {info.batches[2]}" if info.spec.batch is None else str(info.spec.batch)
    parity = info.parity["plan"]
    return [
        f"wrote {path} ({info.plan_bytes / 1e6:.1f} MB) and {path.name}.json: {RUNTIMES[info.runtime].title} "
        f"{info.runtime_version}, {where}, "
        f"{info.spec.size} x {info.spec.size}, batch {batches}",
        f"precision: {info.spec.precision} asked; layers by their first input: {layers}",
        f"labels: {parity['equal']:.4%} equal to the ONNX file's on {parity['frames']} faces"
        if parity
        else "labels: not compared with the ONNX file's (the plan was not run here)",
        f"terms of use: {info.spec.terms}",
        *([f"try it: segface-edge bench --engine {path}"] if info.gpu else []),
    ]
