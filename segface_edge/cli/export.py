"""`segface-edge export`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segface_edge import zoo
from segface_edge.errors import UsageError, missing_extra
from segface_edge.files import check_place

from .options import check_json, json_option, progress_bar, say, say_step
from .triton import check_model, check_triton, triton_options, write_triton
from .web import check_export, check_web, web_options, write_web

if TYPE_CHECKING:
    from segface_edge.export.pipeline import Export
    from segface_edge.serving.web_runtime import WebRuntime


@click.command(
    "export",
    epilog="""\b
Examples:
  segface-edge export --backbone mobilenet
  segface-edge export --dynamic --output confidence -o faces.onnx
  segface-edge export --precision fp16
  segface-edge export --precision int8 --calib-data photos/
  segface-edge export --precision int8 --for cpu --calib-data photos/
  segface-edge export --weights model_299.pt --imgsz 512 -o segface_512.onnx
  segface-edge export --recipe export/jetson-orin-nano.toml
  segface-edge export --precision fp16 --engine model.plan
  segface-edge export --target openvino -o model.xml
  segface-edge export --dynamic --triton repository
  segface-edge export --triton repository --model model.onnx
  segface-edge export --web page --model model.onnx""",
)
@click.option("--backbone", help=f"Backbone; default: the weights' own, or {zoo.DEFAULT_BACKBONE}.")
@click.option("--weights", type=click.Path(path_type=Path), help="Checkpoint, or the name of one; default: released.")
@click.option("--random-weights", is_flag=True, default=None, help="Fresh weights, for speed measurements only.")
@click.option("--labels", help="Label order of the weights; default: what the checkpoint says.")
@click.option("--recipe", type=click.Path(path_type=Path), help="TOML file with these options as keys.")
@click.option("--imgsz", type=int, help="Input side; default: the side that the weights were trained at.")
@click.option("--batch", type=int, help="Frames a call; default: 1.")
@click.option("--dynamic/--no-dynamic", default=None, help="Any number of frames a call; default: no.")
@click.option("--opset", type=int, help="ONNX opset, 18 to 20; default: 18, for int8 19.")
@click.option("--output", help="labels, confidence (labels and confidence) or logits; default: labels.")
@click.option("--precision", help="fp32, fp16 or int8 (the backbone; the rest fp16); default: fp32.")
@click.option("--for", "made_for", help="Whose kernels int8 is for: gpu (TensorRT) or cpu; default: gpu.")
@click.option("--calib-data", type=click.Path(path_type=Path), help="Folder of photos for the ranges of int8.")
@click.option("--calib-images", type=int, help="How many of them; default: 64.")
@click.option("--calib-method", help="percentile, minmax or entropy; default: percentile.")
@click.option("--graph", help="deploy: bytes in, bytes out; reference: the plain network. Default: deploy.")
@click.option("--warp", help="Of LaPa's weights: outside (the runtime warps faces) or inside the graph.")
@click.option("--simplify/--no-simplify", default=None, help="Run onnxsim; default: yes.")
@click.option("--compact", is_flag=True, default=None, help="Store weights that fp16 holds exactly as fp16.")
@click.option(
    "--target",
    help="Runtime that it is for: onnxruntime, portable, openvino, litert, executorch, ncnn; default: onnxruntime.",
)
@click.option("--data", "parity_data", type=click.Path(path_type=Path), help="Folder of photos to check parity on too.")
@click.option(
    "--engine",
    type=click.Path(path_type=Path),
    help="Build a TensorRT engine of the file too; options: segface-edge build.",
)
@triton_options
@web_options
@click.option("-o", "out", type=click.Path(path_type=Path), help="Output file; default: segface_BACKBONE_SIZE.onnx.")
@json_option
def command(
    recipe: Path | None,
    out: Path | None,
    engine: Path | None,
    triton_to: Path | None,
    model: Path | None,
    web_to: Path | None,
    web_runtime: Path | None,
    json_to: str | None,
    **options: Any,
) -> None:
    """Export a checkpoint to one ONNX file and compare it with PyTorch on real faces.

    With --target, to a file for another runtime, which is compared with the ONNX file in that runtime.
    Nothing is written unless every comparison passes (exit code 4).
    """
    check_model(model, triton_to, web_to)
    check_triton(triton_to, model, out)
    runtime = check_web(web_to, web_runtime)
    if model is not None:
        check_json(json_to)
        lines, more = _others(triton_to, [model], web_to, runtime)
        say({"path": str(model), **more}, json_to, "\n".join(lines))
        return
    try:
        from segface_edge.export.config import ExportConfig, read_recipe
        from segface_edge.export.pipeline import run_export
    except ModuleNotFoundError as error:
        raise missing_extra(str(error.name), "export", "segface-edge export") from error
    given = {name: value for name, value in options.items() if value is not None}
    config = ExportConfig(**((read_recipe(recipe) if recipe else {}) | given))
    if web_to is not None:
        check_export(config)
    check_json(json_to)
    if config.target != "onnxruntime":
        others = {"--engine": engine, "--triton": triton_to, "--web": web_to}
        for other in (name for name, value in others.items() if value is not None):
            raise UsageError(f"--target {config.target} and {other}", "contradict each other", "give one of them")
        from segface_edge.export.targets.run import export_target

        converted = export_target(config, out, progress=say_step, bar=progress_bar)
        _warn(converted.warnings)
        say(converted.to_dict(), json_to, "\n".join(converted.summary()))
        return
    if out is not None:
        check_place(out)
    if engine is not None:
        # An export takes minutes: what the engine lacks is said before.
        from segface_edge.engines.nvidia.config import BuildConfig
        from segface_edge.engines.nvidia.cuda import open_cuda
        from segface_edge.engines.nvidia.runtimes import load
        from segface_edge.engines.nvidia.write import check_plan_place

        from .build import build_checked, summary

        check_plan_place(engine)
        load("tensorrt", f"--engine {engine}")
        open_cuda().close()
    result = run_export(config, out, progress=say_step, bar=progress_bar)
    _warn(result.warnings)
    document, text = result.to_dict(), _text(result)
    if engine is not None:
        say_step("ONNX to TensorRT")
        built = build_checked(result.path, engine, BuildConfig())
        document["engine"] = {"path": str(engine), **json.loads(built.info.to_json())}
        text = "\n".join([text, *summary(engine, built)])
    lines, more = _others(triton_to, [result.path, *([] if engine is None else [engine])], web_to, runtime)
    say(document | more, json_to, "\n".join([text, *lines]))


def _others(
    triton_to: Path | None, models: list[Path], web_to: Path | None, runtime: WebRuntime | None
) -> tuple[list[str], dict[str, str]]:
    """Puts models, the ONNX file first, into a repository, and that into a page: what is said, what JSON has of it."""
    lines: list[str] = []
    document: dict[str, str] = {}
    if triton_to is not None:
        lines += write_triton(triton_to, models)
        document["triton"] = str(triton_to)
    if web_to is not None and runtime is not None:
        lines += write_web(web_to, models[0], runtime)
        document["web"] = str(web_to)
    return lines, document


def _warn(warnings: Sequence[str]) -> None:
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)


def _text(result: Export) -> str:
    spec = result.spec
    return "\n".join(
        [
            *(report.summary() for report in result.parity),
            f"wrote {result.path} ({result.bytes / 1e6:.1f} MB): {spec.graph} graph, {spec.size} x {spec.size}, "
            f"batch {spec.batch or 'dynamic'}, outputs {', '.join(spec.outputs)}",
            *(result.lowered.summary() if result.lowered else []),
            f"terms of use: {spec.terms}",
            f"TensorRT engine: {result.trtexec}",
        ]
    )
