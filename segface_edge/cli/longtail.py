"""`segface-edge longtail`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segface_edge.errors import UsageError, missing_extra

from .options import check_json, check_plots, json_option, progress_bar, say, say_step

if TYPE_CHECKING:
    from segface_edge.training.recognition.outcomes import Study

# Those of `training.recognition.methods`, which needs torch.
METHODS = "ce, cb-ce, ldam-drw, supcon, sbcl, sbcl-static, sbcl-kmeans"


@click.command(
    epilog="""\b
Examples:
  segface-edge longtail --data digits --imbalance 50 --methods ce,supcon,sbcl --seeds 5
  segface-edge longtail --seeds 1 --epochs 30 --plot accuracy.png --subclasses subclasses.png
  segface-edge longtail --methods ce,sbcl --second-stage sampling --seeds 1 --epochs 30 --json -"""
)
@click.option("--data", default="digits", show_default=True, help="digits, cifar10 or cifar100.")
@click.option("--root", type=click.Path(path_type=Path), help="Folder with CIFAR's archive (binary version).")
@click.option(
    "--imbalance", type=click.FloatRange(1), default=50.0, show_default=True, help="Largest class : smallest."
)
@click.option("--methods", default="ce,supcon,sbcl", show_default=True, help=f"Some of {METHODS}.")
@click.option("--seeds", type=click.IntRange(1), default=5, show_default=True, help="Runs of each method.")
@click.option("--epochs", type=click.IntRange(1), default=200, show_default=True, help="Of the contrastive stage.")
@click.option("--classifier-epochs", type=click.IntRange(1), default=40, show_default=True, help="Of the classifier.")
@click.option(
    "--second-stage",
    type=click.Choice(["ldam", "sampling", "means"]),
    default="ldam",
    show_default=True,
    help="LDAM with class-balanced weights; cross-entropy with classes drawn as often; or nearest class means.",
)
@click.option("--batch", type=click.IntRange(2), default=64, show_default=True, help="Samples a step.")
@click.option("--lr", type=float, default=0.1, show_default=True, help="Learning rate of SGD.")
@click.option("--warmup", type=click.IntRange(0), default=10, show_default=True, help="Epochs of SupCon before SBCL.")
@click.option("--recluster", type=click.IntRange(1), default=10, show_default=True, help="Epochs between clusterings.")
@click.option("--smallest", type=click.IntRange(1), default=10, show_default=True, help="Least size of a subclass.")
@click.option("--threads", type=click.IntRange(1, 1024), help="CPU threads; default: PyTorch's choice.")
@click.option("--plot", "plot_to", type=click.Path(path_type=Path), help="Draw the accuracies: FILE.png, .svg, .pdf.")
@click.option(
    "--subclasses", "subclasses_to", type=click.Path(path_type=Path), help="Draw what the subclasses are: FILE.png."
)
@json_option
def command(
    methods: str,
    warmup: int,
    recluster: int,
    plot_to: Path | None,
    subclasses_to: Path | None,
    json_to: str | None,
    **options: Any,
) -> None:
    """Compare methods for rare classes on pictures of one object each: cross-entropy, LDAM, SupCon, SBCL.

    The training set is made long-tailed; the test set is balanced, and accuracy is that of the last epoch. The classes
    are told apart by frequency: the first third are many, the last third few. Digits come with scikit-learn.
    """
    try:
        from segface_edge.training.recognition.config import StudyConfig
        from segface_edge.training.recognition.study import epochs_of, run_study
        from segface_edge.training.subclasses import SubclassSchedule
    except ModuleNotFoundError as error:
        raise missing_extra(str(error.name), "longtail", "segface-edge longtail") from error
    config = StudyConfig(
        methods=tuple(name.strip() for name in methods.split(",") if name.strip()),
        schedule=SubclassSchedule(warmup=warmup, every=recluster),
        **options,
    )
    check_json(json_to)
    check_plots(plot_to, subclasses_to)
    if subclasses_to is not None and not config.finds_subclasses:
        raise UsageError("--subclasses", "has none to draw", "compare sbcl, and let it train beyond --warmup")
    with progress_bar(epochs_of(config), "training") as advance:
        study = run_study(config, say=say_step, progress=advance)
    say(study.to_dict(), json_to, _text(study))
    _draw(study, plot_to, subclasses_to)


def _draw(study: Study, plot_to: Path | None, subclasses_to: Path | None) -> None:
    if plot_to is None and subclasses_to is None:
        return
    from segface_edge.plots.figure import save_figure
    from segface_edge.plots.longtail import accuracy_figure, subclass_figure

    config = study.config
    title = f"{config.data}, imbalance {config.imbalance:g}"
    if plot_to is not None:
        save_figure(accuracy_figure(study.rows(), f"{title}: mean and spread of {config.seeds} seeds"), plot_to)
    split = study.split
    if subclasses_to is None or split is None:
        return
    labels = split.pictures.labels.numpy()
    images = (255 * split.pictures.images).byte().permute(0, 2, 3, 1).numpy()
    figure = subclass_figure(
        split.embeddings.numpy(),
        labels,
        split.subclasses.numpy(),
        lambda sample: images[sample].squeeze(2) if images.shape[3] == 1 else images[sample],
        shown=int(split.pictures.labels.bincount().argmax()),
        names=[f"class {label}" for label in range(int(labels.max()) + 1)],
        title=f"{title}, first seed: subclasses at the last clustering",
    )
    save_figure(figure, subclasses_to)


def _text(study: Study) -> str:
    groups = ("all", "many", "medium", "few")
    rows = study.rows()
    width = max(len(row["title"]) for row in rows)
    lines = [f"{'accuracy in test, %':{width}}" + "".join(f"{group:>16}" for group in groups) + "       seconds"]
    for row in rows:
        cells = (row["accuracy"][group] for group in groups)
        lines.append(
            f"{row['title']:{width}}"
            + "".join(f"{100 * cell['mean']:9.1f} ± {100 * cell['sd']:4.1f}" for cell in cells)
            + f"{row['seconds']:14.1f}"
        )
    last = rows[-1]
    for other, difference in last["better_than"].items():
        few = difference["few"]
        lines.append(
            f"few: {last['method']} against {other} {100 * few['mean']:+.1f} points seed by seed "
            f"({100 * few['least']:+.1f} to {100 * few['most']:+.1f})"
        )
    return "\n".join(lines)
