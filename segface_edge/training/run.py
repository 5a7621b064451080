"""What a run consists of: made once, before its first step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from segface_edge.datasets.opening import DataSet
from segface_edge.errors import UsageError
from segface_edge.labels import LabelSet, label_set

from .face_source import need_landmarks
from .learner import Learner, make_learner
from .losses import SegmentationLoss
from .parameters import starting_network
from .processes import Processes
from .progress import Bar, Say
from .recipe import Recipe
from .run_folder import RunFolder
from .schedule import learning_rate_factor
from .standing import Standing, load_standing
from .teacher import Teacher
from .training_set import TrainingSet, make_training_set, open_labelled, open_validation


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a run consists of.

    Attributes:
        recipe: what to do.
        processes: those that train together.
        folder: for everything that the run leaves.
        order: of the network's labels.
        training, validation: what it trains on, and what it is measured on; None where nothing is measured.
        teacher: of the recipe.
        loss: SegFace's, on the device.
        learner: what learns.
        start: where the run starts, or goes on.
    """

    recipe: Recipe
    processes: Processes
    folder: RunFolder
    order: LabelSet
    training: TrainingSet
    validation: DataSet | None
    teacher: Teacher | None
    loss: SegmentationLoss
    learner: Learner
    start: Standing


def prepare(recipe: Recipe, path: Path, *, processes: Processes, resume: bool, say: Say, bar: Bar) -> Run:
    """Makes everything that a run consists of; all that is drawn for it follows from the recipe's seed.

    Args:
        recipe: what to do.
        path: of the run's folder.
        processes: those that train together.
        resume: go on with the run in the folder.
        say: told what happens, a line each.
        bar: makes a progress bar.

    Raises:
        InputError: data, weights or the folder cannot be used.
        UsageError: the batch does not suit the processes.
    """
    _check_batches(recipe, processes.world)
    device, order = processes.device, label_set(recipe.model.labels)
    torch.manual_seed(recipe.run.seed)
    network = starting_network(recipe).to(device)
    data = recipe.data
    labelled = [open_labelled(root, data.train_split, data.label_order) for root in data.train_sets]
    validation = open_validation(data)
    if recipe.model.warp and validation:
        need_landmarks(validation.samples, "measure on LaPa")
    folder = _folder(path, recipe, processes, resume)
    teacher = Teacher(recipe.teacher, order, device) if recipe.teacher else None
    if teacher is not None and data.unlabelled is not None:
        say("labelling photos with the teacher")
        extra = teacher.label(Path(data.unlabelled), path / "pseudo", processes=processes, bar=bar)
    else:
        extra = []
    count = sum(len(part.samples) for part in labelled)
    kept = f", {4 * data.side**2 * (count + len(extra)) / 2**30:.1f} GiB in memory" if data.preload else ""
    say(f"reading {count} labelled photos" + (f" and {len(extra)} of the teacher's" if extra else "") + kept)
    training = make_training_set(recipe, labelled, extra)
    repeated = [f"{name} {times:.1f} ({share:.1%})" for name, (times, share) in training.rates.items() if share]
    if repeated:
        say(f"times an epoch that photos come, and their share of it: {', '.join(repeated)}")
    prior = training.source.log_prior(training.labelled) if recipe.loss.logit_adjustment > 0 else None
    loss = SegmentationLoss(recipe.loss, order, prior).to(device)
    learner = make_learner(recipe, network, training.source, device)
    start = load_standing(folder, learner, device) if resume else None
    if start is not None:
        say(_going_on(start.done, recipe, folder.extended_from))
    return Run(
        recipe=recipe,
        processes=processes,
        folder=folder,
        order=order,
        training=training,
        validation=validation,
        teacher=teacher,
        loss=loss,
        learner=learner,
        start=start or Standing(),
    )


def _check_batches(recipe: Recipe, world: int) -> None:
    for stage in recipe.stage:
        if stage.batch % world:
            raise UsageError(f"batch {stage.batch}", f"cannot be shared by {world} processes", "make it divisible")
        if stage.batch == world and 32 in stage.sizes and not stage.freeze_batchnorm:
            raise UsageError(
                "one photo of 32 x 32 a process",
                "leaves BatchNorm one value a channel",
                "use a larger batch or size, or freeze_batchnorm",
            )


def _going_on(done: int, recipe: Recipe, before: int | None) -> str:
    """What a run that goes on is told."""
    if done >= recipe.steps:
        return (
            f"the run is finished: {done} steps; to go on, give the recipe's last [[stage]] more steps, or add one, "
            "and --resume"
        )
    line = f"going on after step {done} of {recipe.steps}"
    if before is None:
        return line
    ended, now = (
        learning_rate_factor(recipe.optimiser, done - 1, before),
        learning_rate_factor(recipe.optimiser, done, recipe.steps),
    )
    return f"{line}, {before} before: the learning rate is {now:.2g} of the highest now, it ended at {ended:.2g}"


def _folder(path: Path, recipe: Recipe, processes: Processes, resume: bool) -> RunFolder:
    """Every process makes its own, and the leading one says why it cannot."""
    led = RunFolder(path, recipe, resume=resume) if processes.leads else None
    processes.wait()
    return led or RunFolder(path, recipe, resume=True)
