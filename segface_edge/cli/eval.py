"""`segface-edge eval`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from segface_edge.errors import UsageError
from segface_edge.labels import RARE_PARTS

from .options import HELP_MODEL, ModelWord, check_drawing, check_json, json_option, model_options, progress_bar, say

if TYPE_CHECKING:
    from segface_edge.datasets.samples import Sample
    from segface_edge.engines import Engine
    from segface_edge.evaluation.evaluate import Evaluation
    from segface_edge.evaluation.robustness import Robustness
    from segface_edge.labels import LabelSet
    from segface_edge.parsing.choice import Choice

# Photos on the contact sheet of the worst.
_SHOWN = 8
_LARGEST_SIZE = 2048


@click.command(
    "eval",
    epilog="""\b
Examples:
  segface-edge eval --data DIR --label-order celebamask-hq
  segface-edge eval --model model.onnx --data DIR --label-order celebamask-hq --protocol native --json -
  segface-edge eval --model model.safetensors --data DIR --sizes 256,384,512 --plots plots/
  segface-edge eval --data DIR --label-order celebamask-hq --corruptions all""",
)
@click.option("--model", type=ModelWord(), help=HELP_MODEL)
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path),
    help="Labelled data set: images/ and labels/, or CelebAMask-HQ, LaPa, Helen as they come.",
)
@click.option("--split", help="train, val or test, where the data set has several.")
@click.option(
    "--label-order",
    help="Order of the labels on disk (see `segface-edge labels`); default: what the data set says, else the model's.",
)
@click.option(
    "--landmarks",
    type=click.Path(path_type=Path),
    help="Folder with NAME.txt of each photo, for a model that warps faces by them; default: the data set's own.",
)
@click.option(
    "--protocol",
    type=click.Choice(["paper", "native"]),
    default="paper",
    show_default=True,
    help="paper: photo and labels (of Helen a box of both) resized to the network's square; native: compared in the "
    "labels' own pixels.",
)
@click.option("--sizes", help="Also at these input sides, comma-separated (256,384,512); for checkpoints.")
@click.option(
    "--corruptions",
    help="Also on photos made worse, each at three strengths: all, or some of dark, bright, blur, motion, noise, jpeg, "
    "low-resolution, grey, occlusion, turn, tight-crop, wide-crop, comma-separated.",
)
@click.option(
    "--plots",
    "plots_to",
    type=click.Path(path_type=Path),
    help="Folder for confusion.png, per_class.png, worst.png and, with --sizes, sizes.png, with --corruptions, "
    "robustness.png (needs matplotlib).",
)
@model_options
@json_option
def command(
    model: Choice | None,
    data: Path,
    split: str | None,
    label_order: str | None,
    landmarks: Path | None,
    protocol: Literal["paper", "native"],
    sizes: str | None,
    corruptions: str | None,
    plots_to: Path | None,
    device: str,
    threads: int | None,
    spec: Path | None,
    json_to: str | None,
) -> None:
    """Measure F1 and IoU of a model on a labelled data set: images/NAME.jpg and labels/NAME.png (ids), for example."""
    from segface_edge.datasets.opening import open_dataset
    from segface_edge.engines import import_engine, open_engine
    from segface_edge.evaluation.corruptions import STRENGTHS
    from segface_edge.evaluation.evaluate import evaluate
    from segface_edge.evaluation.robustness import robustness
    from segface_edge.labels import label_set
    from segface_edge.parsing.choice import BUNDLED
    from segface_edge.pictures.landmarks import read_landmarks

    choice = model or BUNDLED
    options = choice.options(device=device, threads=threads, spec=spec)
    sides = _sides(sizes, choice) if sizes is not None else []
    names = _corruptions(corruptions) if corruptions is not None else []
    if plots_to is not None:
        check_drawing("--plots", "scores")
    check_json(json_to)
    named = label_set(label_order) if label_order else None
    with open_engine(choice.file, **options) as engine:
        faces = open_dataset(data, split=split, order=named, default=engine.spec.labels)
        samples, order = faces.samples, faces.order
        if landmarks is not None:
            samples = tuple(
                replace(sample, landmarks=read_landmarks(landmarks / f"{sample.name}.txt")) for sample in samples
            )
        if names and engine.spec.warp != "none":
            problem = f"move faces away from the landmarks that {engine.source} warps them by"
            raise UsageError("--corruptions", problem, "leave it out")
        if plots_to is not None:
            more = {"sizes.png": sides, "robustness.png": names}
            _check_folder(plots_to, ["confusion.png", "per_class.png", "worst.png", *(p for p in more if more[p])])
        others = [side for side in sides if side != engine.spec.size]
        evaluations = 1 + len(others) + len(STRENGTHS) * len(names)
        with progress_bar(len(samples) * evaluations, "evaluating") as advance:
            result = evaluate(engine, samples, order, protocol, progress=advance)
            by_size = {engine.spec.size: result}
            for side in others:
                own = {"threads": None} | {key: value for key, value in options.items() if key != "engine"}
                with import_engine(choice.file, choice.engine)(choice.file, **own, size=side) as sized:
                    by_size[side] = evaluate(sized, samples, order, protocol, progress=advance)
            worse = robustness(engine, samples, order, protocol, clean=result, names=names, progress=advance)
        by_size = {side: by_size[side] for side in sides}
        if plots_to is not None:
            _draw(plots_to, result, by_size, engine, samples, order)
            if names:
                _draw_robustness(plots_to / "robustness.png", result, worse)
    document = result.to_dict()
    if sides:
        document["sizes"] = {str(side): evaluation.mean_f1() for side, evaluation in by_size.items()}
    if names:
        document["robustness"] = worse.to_dict()
    say(document, json_to, _text(document))


def _sides(text: str, model: Choice) -> list[int]:
    """The input sides of `--sizes`, each once, in rising order."""
    if not model.of_checkpoint:
        raise UsageError(
            "--sizes",
            f"{model.file} is no checkpoint: it has one input size",
            "give the checkpoint: --model MODEL.safetensors, or export one file for each size",
        )
    words = [word.strip() for word in text.split(",")]
    allowed = {str(side): side for side in range(32, _LARGEST_SIZE + 1, 32)}
    for word in words:
        if word not in allowed:
            raise UsageError(
                f"--sizes {text}",
                f"{word!r} is not a multiple of 32 up to {_LARGEST_SIZE}",
                "separate them by commas: --sizes 256,384,512",
            )
    return sorted({allowed[word] for word in words})


def _corruptions(text: str) -> list[str]:
    """The names of `--corruptions`, each once, in the table's order."""
    from segface_edge.evaluation.corruptions import CORRUPTIONS

    words = [word.strip() for word in text.split(",")]
    for word in words:
        if word not in CORRUPTIONS and words != ["all"]:
            raise UsageError(f"--corruptions {text}", f"{word!r} is unknown", f"use all, or: {', '.join(CORRUPTIONS)}")
    return [name for name in CORRUPTIONS if words == ["all"] or name in words]


def _check_folder(folder: Path, names: Sequence[str]) -> None:
    """Makes the folder of the plots; raises InputError where one of them could not be written."""
    from segface_edge.files import check_place, make_folder

    make_folder(folder)
    for name in names:
        check_place(folder / name)


def _draw(
    folder: Path,
    result: Evaluation,
    by_size: Mapping[int, Evaluation],
    engine: Engine,
    samples: Sequence[Sample],
    order: LabelSet,
) -> None:
    """Writes the plots. The worst photos are run again: an evaluation keeps no label maps."""
    from segface_edge.evaluation.evaluate import compared
    from segface_edge.plots.contact_sheet import contact_sheet, write_sheet
    from segface_edge.plots.figure import save_figure
    from segface_edge.plots.scores import confusion_figure, per_class_figure, size_figure

    name = Path(result.model).name
    save_figure(confusion_figure(result), folder / "confusion.png")
    bars = {f"{name} {side}": evaluation for side, evaluation in by_size.items()} or {name: result}
    save_figure(per_class_figure(bars), folder / "per_class.png")
    worst = result.worst(_SHOWN)
    pairs = compared(engine, [samples[i] for i in worst], order, result.protocol)
    sheet = contact_sheet(
        [(pair.image, pair.truth, pair.predicted) for pair in pairs],
        result.order,
        [result.photos[i].describe() for i in worst],
    )
    write_sheet(sheet, folder / "worst.png")
    if by_size:
        scores = {name: {side: evaluation.mean_f1() for side, evaluation in by_size.items()}}
        save_figure(size_figure(scores), folder / "sizes.png")


def _draw_robustness(path: Path, result: Evaluation, worse: Robustness) -> None:
    from segface_edge.plots.figure import save_figure
    from segface_edge.plots.robustness import robustness_figure

    save_figure(robustness_figure({Path(result.model).name: worse.to_dict()}), path)


def _text(document: dict[str, Any]) -> str:
    def points(value: float | None) -> str:
        return "     -" if value is None else f"{100 * value:6.2f}"

    rows = [
        f"  {name:<11} {points(f1)}  {points(document['per_class_iou'][name])}"
        for name, f1 in document["per_class_f1"].items()
    ]
    sizes = [f"  {side:<11} {points(f1)}" for side, f1 in document.get("sizes", {}).items()]
    if sizes:
        sizes = ["", f"  {'input side':<11} {'mean F1':>6}", *sizes]
    return "\n".join(
        [
            f"{document['model']}: {document['images']} photos, protocol {document['protocol']}, "
            f"input {document['size']} x {document['size']}, classes of '{document['label_order']}'",
            f"  {'class':<11} {'F1':>6}  {'IoU':>6}   (points of 100; - : in neither labels nor prediction)",
            *rows,
            f"  {'mean':<11} {points(document['mean_f1'])}  {points(document['mean_iou'])}"
            "   (F1 without background, IoU with it)",
            *_merged_lines(document["merged_f1"], points),
            *sizes,
            *(_robustness_lines(document["robustness"], points) if "robustness" in document else []),
        ]
    )


def _merged_lines(document: Mapping[str, float | None], points: Callable[[float | None], str]) -> list[str]:
    said = {"mouth": "with the lips", "overall": "eyes, brows, nose and mouth as one"}
    rows = [
        f"  {name:<11} {points(f1)}" + (f"   ({said[name]})" if name in said else "") for name, f1 in document.items()
    ]
    return ["", "  classes taken for one:", *rows] if rows else []


def _robustness_lines(document: dict[str, Any], points: Callable[[float | None], str]) -> list[str]:
    clean = document["clean"]
    lines = ["", f"  {'corruption':<16} {'mean F1':>7} {'rare F1':>8} {'loss':>7}"]
    lines.append(f"  {'clean':<16} {points(clean['mean_f1']):>7} {points(clean['rare_f1']):>8}")
    for row in document["corrupted"]:
        name = f"{row['corruption']} {row['strength']}"
        figures = f"{points(row['mean_f1']):>7} {points(row['rare_f1']):>8} {points(row['loss']):>7}"
        lines.append(f"  {name:<16} {figures}   {row['what']}")
    rare = ", ".join(RARE_PARTS)
    return [*lines, f"  {'mean loss':<16} {'':>7} {'':>8} {points(document['mean_loss']):>7}   (rare: {rare})"]
