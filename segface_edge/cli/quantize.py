"""`segface-edge quantize`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segface_edge.errors import UsageError, missing_extra
from segface_edge.files import check_place

from .options import ModelFile, beside, check_json, check_plots, json_option, progress_bar, say, say_step

if TYPE_CHECKING:
    from segface_edge.export.quantize import Quantized
    from segface_edge.export.sensitivity import Sensitivity


@click.command(
    "quantize",
    epilog="""\b
Examples:
  segface-edge quantize segface_mobilenet_384.onnx --calib-data photos/ -o faces_int8.onnx
  segface-edge quantize segface_mobilenet_384.onnx --precision fp16 -o faces_fp16.onnx
  segface-edge quantize segface_mobilenet_384.onnx --calib-data photos/ --sensitivity --plot sensitivity.png""",
)
@click.argument("model", type=ModelFile())
@click.option(
    "--precision", type=click.Choice(["fp16", "int8"]), default="int8", show_default=True, help="What to make."
)
@click.option(
    "--for",
    "made_for",
    type=click.Choice(["gpu", "cpu"]),
    default="gpu",
    show_default=True,
    help="Whose kernels int8 is for: gpu (TensorRT), or cpu (ONNX Runtime).",
)
@click.option("--calib-data", type=click.Path(path_type=Path), help="Folder of photos for the ranges of int8.")
@click.option("--calib-images", type=click.IntRange(1, 4096), default=64, show_default=True, help="How many of them.")
@click.option(
    "--calib-method",
    type=click.Choice(["percentile", "minmax", "entropy"]),
    default="percentile",
    show_default=True,
    help="How ranges follow from what was seen.",
)
@click.option("--sensitivity", is_flag=True, help="Print what each node does in lower precision; -o is then optional.")
@click.option(
    "--plot", "plot_to", type=click.Path(path_type=Path), help="Draw the sensitivities: FILE.png, .svg, .pdf."
)
@click.option("--data", "parity_data", type=click.Path(path_type=Path), help="Folder of photos to check parity on too.")
@click.option("-o", "out", type=click.Path(path_type=Path), help="Output file; default: MODEL_PRECISION.onnx.")
@json_option
def command(
    model: Path, sensitivity: bool, plot_to: Path | None, out: Path | None, json_to: str | None, **options: Any
) -> None:
    """Make an fp16 or int8 file of MODEL, an fp32 ONNX file or the name of a model.

    Which nodes stay in higher precision follows from what each of them alone does to the logits. The result is compared
    with the fp32 file on real faces, class by class; nothing is written unless it passes (exit code 4). int8 is for the
    backbone's convolutions, the rest is fp16 (with --for cpu it stays fp32); its ranges come from photos, which need no
    labels.
    """
    try:
        from segface_edge.export.quantize import QuantizeConfig, run_quantize
    except ModuleNotFoundError as error:
        raise missing_extra(str(error.name), "export", "segface-edge quantize") from error
    config = QuantizeConfig(**options)
    if out is None and not sensitivity:
        kind = config.precision if config.made_for == "gpu" else f"{config.precision}_{config.made_for}"
        out = beside(model, f"{model.stem}_{kind}.onnx")
    if out is not None and out.suffix != ".onnx":
        raise UsageError(out, "is not an .onnx file name", "name the output FILE.onnx")
    check_json(json_to)
    if out is not None:
        check_place(out)
    check_plots(plot_to)
    result = run_quantize(model, config, out, progress=say_step, bar=progress_bar)
    if plot_to is not None:
        _draw(plot_to, result)
    say(result.to_dict(), json_to, _text(result, tables=sensitivity))


def _draw(path: Path, result: Quantized) -> None:
    from segface_edge.plots.figure import save_figure
    from segface_edge.plots.sensitivity import sensitivity_figure

    lowered = result.lowered
    tables: dict[str, tuple[Mapping[str, float], Collection[str], str, str]] = {}
    if lowered.int8:
        left = {one.name for one in lowered.int8} - set(lowered.int8_layers)
        rest = "fp16" if lowered.half else "fp32"
        tables["Each convolution alone in int8"] = ({one.name: one.error for one in lowered.int8}, left, "int8", rest)
    if lowered.half:
        tables["Each node alone in fp16"] = (
            {one.name: one.error for one in lowered.half},
            lowered.islands,
            "fp16",
            "fp32",
        )
    save_figure(sensitivity_figure(tables), path)


def _text(result: Quantized, *, tables: bool) -> str:
    lowered, lines = result.lowered, []
    if tables:
        if lowered.int8:
            left = {one.name for one in lowered.int8} - set(lowered.int8_layers)
            lines += _table("convolution alone in int8", lowered.int8, left, "fp16" if lowered.half else "fp32")
        if lowered.half:
            lines += _table("node alone in fp16", lowered.half, lowered.islands, "fp32")
    lines += lowered.summary()
    if result.parity is not None:
        lines.append(result.parity.summary())
    if result.path is not None:
        size, before = (count / 1e6 for count in result.bytes)
        lines.append(f"wrote {result.path} ({size:.1f} MB, its source {before:.1f} MB): {result.spec.precision}")
    return "\n".join(lines)


def _table(title: str, found: Sequence[Sensitivity], higher: Collection[str], stays: str) -> list[str]:
    """The most sensitive first; those that change nothing are only counted."""
    shown = sorted((one for one in found if one.error > 0), key=lambda one: -one.error)
    width = max((len(one.name) for one in shown), default=4)
    rows = [
        f"  {one.name:<{width}}  {one.kind:<18} {one.error:9.1e} {one.turned:9.4%}{f'  {stays}' * (one.name in higher)}"
        for one in shown
    ]
    return [
        f"{title}: change of the logits over their size, share of labels that turn",
        *rows,
        f"  {len(found) - len(shown)} more change nothing",
        "",
    ]
