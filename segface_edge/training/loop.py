"""The training loop: one step after another, measured, saved, and exactly repeatable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from segface_edge.errors import TrainingError
from segface_edge.evaluation.evaluate import Evaluation

from .batches import Batch, batches
from .clock import Clock
from .processes import Processes
from .progress import Bar, Say, no_bar, say_nothing
from .recipe import Recipe
from .run import Run, prepare
from .run_log import RunLog, read_log
from .sampling import keys, positions
from .schedule import Step, evaluation_due, plan
from .signals import stop_signals
from .sitting import Outlook, Sitting
from .standing import Standing, save_standing
from .step import NotFinite, OptimiserStep, Outcome
from .validation import validate

# Steps of a sitting after which its pace is told.
_PACE_AFTER = 10


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM, after the state was saved."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """A training that came to its end, or to that of a sitting.

    Attributes:
        folder: where everything is.
        steps, of: optimiser steps made, and those of the recipe.
        outlook: what is left of it; None where nothing is, or where this sitting made no step.
        best_step, best_f1: of the weights in `best.safetensors`; None without a validation set.
        last: the last weights' evaluation; None without a validation set.
        ms: milliseconds that each part of a step took, mean over the logged steps: `data` is the wait for the next
            batch, which is prepared meanwhile where there are workers.
    """

    folder: Path
    steps: int
    of: int
    outlook: Outlook | None
    best_step: int | None
    best_f1: float | None
    last: Evaluation | None
    ms: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "folder": str(self.folder),
            "steps": self.steps,
            "of": self.of,
            "outlook": asdict(self.outlook) if self.outlook else None,
            "best_step": self.best_step,
            "best_f1": self.best_f1,
            "last": self.last.to_dict() if self.last else None,
            "ms": dict(self.ms),
        }


def train(
    recipe: Recipe,
    folder: Path,
    *,
    processes: Processes,
    resume: bool = False,
    stop_after: int | None = None,
    minutes: float | None = None,
    say: Say = say_nothing,
    bar: Bar = no_bar,
) -> Result:
    """Trains as the recipe says.

    Args:
        recipe: what to do.
        folder: for everything that the run leaves (see `run_folder`).
        processes: from `processes.together`.
        resume: go on with the run in `folder`; on a CPU its final weights equal those of an uninterrupted run.
        stop_after: end after this many steps, counted from the recipe's first, as if it were interrupted there.
        minutes: end at the step after which the next one, with what is due behind it, would end later than that, wall
            time from now on; one step is made in any case. Neither this nor `stop_after` changes what a step is.
        say: told what happens, a line each.
        bar: makes a progress bar for a length and a label.

    Raises:
        InputError: data, weights or the folder cannot be used.
        TrainingError: the loss is not a number; the last state saved is kept.
        Interrupted: Ctrl-C or SIGTERM; the state of the last step is saved.
    """
    if not processes.leads:
        say, bar = say_nothing, no_bar
    sitting = Sitting(recipe, minutes)
    run = prepare(recipe, folder, processes=processes, resume=resume, say=say, bar=bar)
    log = _log(run) if processes.leads else None
    standing, last = _steps(run, stop_after, sitting, log=log, say=say, bar=bar)
    if log is not None:
        run.folder.write_weights("last", run.learner.kept, standing.done)
        log.close()
    return Result(
        folder=run.folder.path,
        steps=standing.done,
        of=recipe.steps,
        outlook=sitting.outlook(standing.done) if standing.done < recipe.steps else None,
        best_step=standing.best_step,
        best_f1=standing.best_f1,
        last=last,
        ms=_mean_times(read_log(run.folder.log)),
    )


def _steps(
    run: Run, stop_after: int | None, sitting: Sitting, *, log: RunLog | None, say: Say, bar: Bar
) -> tuple[Standing, Evaluation | None]:
    """All steps that are not done yet, or those up to `stop_after` or the sitting's end; only the leading process has a
    log."""
    recipe, processes, training = run.recipe, run.processes, run.training
    total = recipe.steps
    end = total if stop_after is None else min(stop_after, total)
    standing, saved, last = run.start, run.start.done, None
    optimiser_step = OptimiserStep(run)
    stream = batches(
        training.source,
        keys(recipe, training.photos, processes, standing.done),
        workers=recipe.data.workers,
        pin=processes.device.type == "cuda",
    )
    with stop_signals() as stopped, bar(total, "training") as advance:
        advance(standing.done)
        sitting.ready(_evaluation_seconds(run))
        while standing.done < end:
            step = plan(recipe, standing.done)
            try:
                _step(run, step, optimiser_step, stream, log)
            except NotFinite:
                raise _not_a_number(run, step, saved) from None
            sitting.stepped(step.number)
            standing = replace(standing, done=standing.done + 1)
            advance(1)
            done = standing.done
            if done == run.start.done + _PACE_AFTER < total and (outlook := sitting.outlook(done)):
                say(str(outlook))
            due = evaluation_due(recipe, done)
            if due:
                # One process does, the others wait.
                if log is not None and run.validation is not None:
                    last, standing = validate(run, run.validation, standing, log=log, say=say, bar=bar)
                processes.wait()
                sitting.evaluated()
            # Signals and clocks are each process's own: all stop where one must.
            stop, over = processes.any(stopped.is_set(), sitting.over(done))
            if over:
                end = done
            if log is not None and (stop or due or done == end or done % recipe.run.save_every == 0):
                save_standing(run.folder, run.learner, standing)
                sitting.saved()
                saved = done
            if stop and done < end:
                if log is not None:
                    run.folder.write_weights("last", run.learner.kept, done)
                raise Interrupted(f"stopped after step {done} of {total}; go on with --resume")
    return standing, last


def _step(run: Run, step: Step, optimiser_step: OptimiserStep, stream: Iterator[Batch], log: RunLog | None) -> None:
    """Takes a step with the stream's next batch, and logs it where it is due."""
    recipe, processes, photos = run.recipe, run.processes, run.training.photos
    logged = step.number % recipe.run.log_every == 0 or step.number == recipe.steps - 1
    clock = Clock(processes.device, logged)
    batch = next(stream).to(processes.device)
    clock.lap("data")
    outcome = optimiser_step(step, batch, [photos[position] for position in positions(step, processes)], clock)
    if logged and log is not None:
        log.append(_row(recipe, step, outcome, clock))


def _evaluation_seconds(run: Run) -> float:
    """What the last evaluation of an earlier sitting took; 0 where there was none."""
    return next((float(row["seconds"]) for row in reversed(read_log(run.folder.log)) if row["kind"] == "eval"), 0.0)


def _log(run: Run) -> RunLog:
    board = run.folder.path / "tensorboard" if run.recipe.run.tensorboard else None
    return RunLog(run.folder.log, done=run.start.done, board=board)


def _row(recipe: Recipe, step: Step, outcome: Outcome, clock: Clock) -> dict[str, Any]:
    """What the log says of a step."""
    return {
        "kind": "step",
        "step": step.number + 1,
        "size": step.size,
        "batch": step.stage.batch,
        "loss": float(outcome.loss),
        **{name: float(part) for name, part in outcome.parts.items()},
        "lr": recipe.optimiser.lr * outcome.rate_factor,
        "gradient_norm": float(outcome.gradient_norm),
        "ms": clock.milliseconds(),
    }


def _not_a_number(run: Run, step: Step, saved: int) -> TrainingError:
    training = run.training
    names = [training.source.name(training.photos[step.first + offset]) for offset in range(min(3, step.stage.batch))]
    return TrainingError(
        f"step {step.number + 1}",
        f"loss or gradient is not a finite number (photos {', '.join(names)}, …)",
        f"{'the state after step ' + str(saved) + ' is kept; ' if saved else ''}lower the learning "
        "rate, clip the gradient, or train in fp32",
    )


def _mean_times(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Mean over the logged steps but the first, which warms up."""
    times = [row["ms"] for row in rows if row["kind"] == "step"][1:]
    return {name: round(sum(time[name] for time in times) / len(times), 2) for name in times[0]} if times else {}
