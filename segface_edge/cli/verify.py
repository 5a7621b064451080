"""`segface-edge verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from segface_edge.errors import IncompatibleEngineError, ParityError

from .options import ModelWord, check_json, json_option, model_options, progress_bar, say

if TYPE_CHECKING:
    from segface_edge.engines import Engine
    from segface_edge.evaluation.parity import Parity
    from segface_edge.parsing.choice import Choice


@click.command(
    "verify",
    epilog="""\b
Examples:
  segface-edge verify --ref model.onnx --model model_int8.onnx
  segface-edge verify --ref model.onnx --model model_fp16.onnx --data photos/ --json -
  segface-edge verify --ref model.safetensors --model model.onnx --threads 2
  segface-edge verify --ref model.onnx --model model.onnx@engine=openvino""",
)
@click.option("--ref", required=True, type=ModelWord(), help="What is right, in fp32: ONNX file, checkpoint, a name.")
@click.option(
    "--model",
    required=True,
    type=ModelWord(),
    help="The file in question, or a name; in another engine than its own: FILE@engine=NAME.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Folder of photos, or a labelled one (its images/ are used), besides the bundled faces.",
)
@model_options
@json_option
def command(
    ref: Choice,
    model: Choice,
    data: Path | None,
    device: str,
    threads: int | None,
    spec: Path | None,
    json_to: str | None,
) -> None:
    """Compare the labels of a model file with those of its reference on real faces, class by class.

    The reference's labels are taken for the truth, also where --data has labels: how well a model finds the true ones
    is what `segface-edge eval` says.
    Logits that are NaN or infinite fail, also those of an ONNX file that gives labels only; a plan does not show them.
    The limits are those of the model's precision; rare classes (glasses, hats, earrings, necklaces) have their own.
    Exit code 4 where one is not kept.
    """
    from segface_edge.engines import open_engine
    from segface_edge.evaluation.parity import compare
    from segface_edge.evaluation.photos import bundled_faces, own_faces

    check_json(json_to)
    with (
        open_engine(model.file, **model.options(device=device, threads=threads, spec=spec)) as candidate,
        _open_reference(ref, threads, candidate.spec.size) as reference,
    ):
        _check_alike(reference, candidate)
        if reference.spec.precision != "fp32":
            click.echo(f"warning: the reference {ref.name} is itself {reference.spec.precision}", err=True)
        size = candidate.spec.size
        frames = bundled_faces(size) + (own_faces(data, size) if data else [])
        with progress_bar(len(frames), f"comparing on {len(frames)} faces") as advance:
            (report,) = compare(reference, {model.title: candidate}, frames, name=ref.title, progress=advance)
    say(report.to_dict(), json_to, _text(report))
    failures = report.failures()
    if failures:
        raise ParityError(
            model.name,
            f"differs from {ref.name} by more than {report.precision} may: {', '.join(failures)}",
            report.advice,
        )


def _open_reference(ref: Choice, threads: int | None, size: int) -> Engine:
    """On the CPU, unless it says otherwise; a checkpoint at the candidate's size, other files have their own."""
    from segface_edge.engines import check_spec, import_engine, open_engine

    options = ref.options(threads=threads)
    if not ref.of_checkpoint:
        return open_engine(ref.file, **options)
    if "spec" in options:
        check_spec(ref.file, options.pop("spec"))
    given = {"device": "cpu", "threads": None} | {key: options[key] for key in options if key != "engine"}
    return import_engine(ref.file, ref.engine)(ref.file, **given, size=size)


def _check_alike(reference: Engine, candidate: Engine) -> None:
    """Raises IncompatibleEngineError where the two cannot be compared."""
    for what, one, other in (
        ("input size", reference.spec.size, candidate.spec.size),
        ("label order", reference.spec.label_order, candidate.spec.label_order),
        ("classes", reference.spec.classes, candidate.spec.classes),
    ):
        if one != other:
            raise IncompatibleEngineError(
                candidate.source,
                f"has another {what} than {reference.source} ({other}, not {one})",
                "compare files of one size and one label order",
            )


def _text(report: Parity) -> str:
    from segface_edge.evaluation.limits import SMALL_CLASS

    rows = []
    for name, f1 in report.per_class_f1.items():
        points = "     -" if f1 is None else f"{100 * f1:6.2f}"
        failure = report.class_failure(name)
        counts = f"{report.pixels[name]:>10} {report.turned[name]:>8}"
        # Of a class of few pixels, not its F1 is judged.
        floor = f"{100 * report.floor(name):6.2f}" if report.pixels[name] >= SMALL_CLASS else "   few"
        rows.append(f"  {name:<11} {counts}  {points}  {floor}{'' if failure is None else '  FAILS: ' + failure}")
    verdict = "passes" if not report.failures() else "does not pass"
    return "\n".join(
        [
            report.summary(),
            f"  {'class':<11} {'pixels':>10} {'turned':>8}  {'F1':>6}  {'floor':>6}   (points of 100; few: at most "
            f"{report.limits.small_turned} pixels may turn, of a rare class {report.limits.small_rare_turned})",
            *rows,
            "logits: finite on all faces"
            if report.finite
            else "logits: not to be seen in this file (an argmax hides NaN); verify the ONNX file that it was made of",
            f"{report.candidate} {verdict} the limits of {report.precision} "
            f"({report.equal:.4%} equal labels, at least {report.limits.equal:.2%})",
        ]
    )
