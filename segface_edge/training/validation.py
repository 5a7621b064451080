"""What a network in training is worth: measured on the validation set, and the best weights kept."""

from __future__ import annotations

import time
from dataclasses import replace

from segface_edge.datasets.opening import DataSet
from segface_edge.evaluation.evaluate import Evaluation, evaluate
from segface_edge.network.engine import TorchEngine

from .monitoring import write_pictures, write_subclasses
from .progress import Bar, Say
from .run import Run
from .run_log import RunLog
from .standing import Standing


def validate(
    run: Run, data: DataSet, standing: Standing, *, log: RunLog, say: Say, bar: Bar
) -> tuple[Evaluation, Standing]:
    """Measures a run's weights, writes them where they are the best so far, and draws its pictures.

    Args:
        run: whose weights.
        data: the validation set.
        standing: where the run stands.
        log: gets a row.
        say: told the mean F1.
        bar: makes a progress bar.

    Returns:
        The evaluation at the size that the weights are meant for, and where the run stands with it.

    Raises:
        InputError: a photo or label map cannot be read, or the disk is full.
    """
    model, size = run.learner.kept, run.recipe.model.size
    model.image_size = size
    began = time.perf_counter()
    engine = TorchEngine.of(model, device=str(run.processes.device))
    with bar(len(data.samples), "validating") as advance:
        found = evaluate(engine, data.samples, data.order, "paper", progress=advance)
    document = found.to_dict()
    f1 = document["mean_f1"] or 0.0
    log.append(
        {
            "kind": "eval",
            "step": standing.done,
            "size": size,
            "mean_f1": document["mean_f1"],
            "per_class_f1": document["per_class_f1"],
            "seconds": time.perf_counter() - began,
        }
    )
    better = standing.best_f1 is None or f1 > standing.best_f1
    say(f"step {standing.done}: mean F1 {f1:.4f} at {size}" + (", the best so far" if better else ""))
    if better:
        standing = replace(standing, best_step=standing.done, best_f1=f1)
        run.folder.write_weights("best", model, standing.done)
    write_pictures(run.folder, engine, data)
    if run.learner.contrast is not None:
        write_subclasses(run.folder, run.learner.contrast, run.training.source, run.order)
    return found, standing
