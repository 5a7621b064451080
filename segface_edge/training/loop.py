"""The training loop: one step after another, measured, saved, and exactly repeatable."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from segface_edge.datasets.opening import DataSet, open_dataset
from segface_edge.errors import TrainingError, UsageError, missing_extra
from segface_edge.evaluation.evaluate import Evaluation, evaluate
from segface_edge.labels import label_set
from segface_edge.network import SegFace
from segface_edge.network.checkpoint import write_checkpoint
from segface_edge.network.engine import TorchEngine

from .augment import augment
from .batches import batches
from .clock import Clock
from .contrast import Contrast
from .ema import Ema
from .face_source import FaceSource
from .losses import SegmentationLoss
from .monitoring import write_pictures, write_subclasses
from .parameters import parameter_groups, starting_network
from .processes import Processes
from .recipe import Recipe
from .regions import RegionNetwork
from .sampling import Key, PhotoOrder, repeat_factors
from .schedule import Step, learning_rate_factor, plan
from .signals import stop_signals
from .state import RunFolder
from .teacher import Teacher

if TYPE_CHECKING:
    from .tensorboard import Board

Bar = Callable[[int, str], AbstractContextManager[Callable[[int], None]]]


def _no_bar(length: int, label: str) -> AbstractContextManager[Callable[[int], None]]:  # noqa: ARG001
    return nullcontext(lambda _: None)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM, after the state was saved."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """A finished training.

    Attributes:
        folder: where everything is.
        steps: optimiser steps made.
        best_step, best_f1: of the weights in `best.safetensors`; None without a validation set.
        last: the last weights' evaluation; None without a validation set.
        ms: milliseconds that each part of a step took, mean over the logged steps: `data` is the wait for the next
            batch, which is prepared meanwhile where there are workers.
    """

    folder: Path
    steps: int
    best_step: int | None
    best_f1: float | None
    last: Evaluation | None
    ms: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "folder": str(self.folder),
            "steps": self.steps,
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
    say: Callable[[str], None] = lambda _: None,
    bar: Bar = _no_bar,
) -> Result:
    """Trains as the recipe says.

    Args:
        recipe: what to do.
        folder: for everything that the run leaves (see `state`).
        processes: from `processes.together`.
        resume: go on with the run in `folder`; on a CPU its final weights equal those of an uninterrupted run.
        stop_after: end after this many steps, counted from the recipe's first, as if it were interrupted there.
        say: told what happens, a line each.
        bar: makes a progress bar for a length and a label.

    Raises:
        InputError: data, weights or the folder cannot be used.
        TrainingError: the loss is not a number; the last state saved is kept.
        Interrupted: Ctrl-C or SIGTERM; the state of the last step is saved.
    """
    return _Run(recipe, folder, processes, resume, say, bar).run(stop_after)


class _Run:
    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        processes: Processes,
        resume: bool,
        say: Callable[[str], None],
        bar: Bar,
    ) -> None:
        for stage in recipe.stage:
            if stage.batch % processes.world:
                raise UsageError(
                    f"batch {stage.batch}", f"cannot be shared by {processes.world} processes", "make it divisible"
                )
            if stage.batch == processes.world and 32 in stage.sizes and not stage.freeze_batchnorm:
                raise UsageError(
                    "one photo of 32 x 32 a process",
                    "leaves BatchNorm one value a channel",
                    "use a larger batch or size, or freeze_batchnorm",
                )
        self.recipe, self.processes, self.bar = recipe, processes, bar
        self.say = say if processes.leads else lambda _: None
        self.device = processes.device
        torch.manual_seed(recipe.run.seed)
        self.order = label_set(recipe.model.labels)
        self.network = starting_network(recipe).to(self.device)
        labelled = _open(recipe.data.train, recipe.data.train_split, recipe.data.label_order)
        self.validation = (
            _open(recipe.data.val, recipe.data.val_split, recipe.data.label_order) if recipe.data.val else None
        )
        # Every process makes its own, and the leading one says why it cannot.
        self.folder = RunFolder(folder, recipe, resume=resume) if processes.leads else None
        processes.wait()
        if self.folder is None:
            self.folder = RunFolder(folder, recipe, resume=True)
        self.teacher = Teacher(recipe.teacher, self.order, self.device) if recipe.teacher else None
        if self.teacher is not None and recipe.data.unlabelled is not None:
            self.say("labelling photos with the teacher")
            extra = self.teacher.label(
                Path(recipe.data.unlabelled), folder / "pseudo", processes=processes, bar=self._bar()
            )
        else:
            extra = []
        self.say(
            f"reading {len(labelled.samples)} labelled photos"
            + (f" and {len(extra)} of the teacher's" if extra else "")
        )
        self.source = FaceSource(
            [*labelled.samples, *extra],
            [labelled.order] * len(labelled.samples) + [self.order] * len(extra),
            self.order,
            side=recipe.data.side,
            config=recipe.augment,
            seed=recipe.run.seed,
            preload=recipe.data.preload,
            donors=len(labelled.samples),
        )
        count = len(labelled.samples)
        factors = (
            repeat_factors(self.source.present(count), recipe.sampling)
            if recipe.sampling.repeat_threshold > 0
            else np.ones(count)
        )
        self.photos = PhotoOrder(
            factors, extra=len(extra), share=recipe.teacher.share if recipe.teacher else 0.0, seed=recipe.run.seed
        )
        prior = self.source.log_prior(count) if recipe.loss.logit_adjustment > 0 else None
        self.loss = SegmentationLoss(recipe.loss, self.order, prior).to(self.device)
        self.regions: RegionNetwork | None = None
        if recipe.contrastive is not None:
            self.regions = RegionNetwork(self.network, recipe.contrastive.regions).to(self.device)
            self.contrast = Contrast(
                recipe.contrastive,
                # A teacher's labels are regions too.
                self.source.present(),
                len(self.order),
                seed=recipe.run.seed,
                device=self.device,
            )
        self._prepare(resume)

    def _bar(self) -> Bar:
        return self.bar if self.processes.leads else _no_bar

    def _prepare(self, resume: bool) -> None:
        """Everything with a state, then that state where the run is resumed."""
        run, config = self.recipe.run, self.recipe.optimiser
        if run.channels_last:
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema = Ema(self.network, run.ema) if run.ema > 0 else None
        groups = parameter_groups(self.network, self.recipe)
        if self.regions is not None:
            groups.append({"params": list(self.regions.projection.parameters()), "lr": config.lr, "weight_decay": 0.0})
        self.optimiser = torch.optim.AdamW(groups, lr=config.lr)
        self.base_rates = [float(group["lr"]) for group in self.optimiser.param_groups]
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=run.precision == "fp16")
        self.done = 0
        self.best_step: int | None = None
        self.best_f1: float | None = None
        self.last: Evaluation | None = None
        state = self.folder.load(self.device) if resume and self.folder else None
        if state is not None:
            self.network.load_state_dict(state["network"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.scaler.load_state_dict(state["scaler"])
            if self.ema is not None:
                self.ema.model.load_state_dict(state["ema"])
                self.ema.updates = state["ema_updates"]
            if self.regions is not None:
                self.contrast.load(state.get("contrastive", {}))
                self.regions.projection.load_state_dict(state["contrastive"]["projection"])
            self.done, self.best_step, self.best_f1 = int(state["done"]), state["best_step"], state["best_f1"]
            self._saved = self.done
            self.say(f"going on after step {self.done} of {self.recipe.steps}")
        if self.processes.leads and self.folder is not None:
            self.folder.cut_log(self.done)
        self.board = (
            _board(self.folder.path, self.done + 1)
            if run.tensorboard and self.processes.leads and self.folder
            else None
        )
        self.running: nn.Module = self.regions or self.network
        if self.processes.world > 1:
            ids = [self.device.index] if self.device.type == "cuda" else None
            self.running = DistributedDataParallel(self.running, device_ids=ids)
        if run.compile:
            self.running = cast(nn.Module, torch.compile(self.running))

    def run(self, stop_after: int | None) -> Result:
        """All steps that are not done yet, or those up to `stop_after`."""
        assert self.folder is not None
        recipe, total = self.recipe, self.recipe.steps
        last = total if stop_after is None else min(stop_after, total)
        pin = self.device.type == "cuda"
        stream = batches(self.source, self._keys(self.done), workers=recipe.data.workers, pin=pin)
        with stop_signals() as stopped, self._bar()(total, "training") as advance:
            advance(self.done)
            while self.done < last:
                step = plan(recipe, self.done)
                self._step(step, stream)
                self.done += 1
                advance(1)
                (stop,) = self.processes.any(stopped.is_set())
                due = self.done == total or (recipe.run.eval_every and self.done % recipe.run.eval_every == 0)
                if due:
                    self._evaluate()
                if stop or due or self.done == last or self.done % recipe.run.save_every == 0:
                    self._save()
                if stop and self.done < last:
                    if self.processes.leads:
                        self._write_weights("last")
                    raise Interrupted(f"stopped after step {self.done} of {total}; go on with --resume")
        if self.processes.leads:
            self._write_weights("last")
        if self.board is not None:
            self.board.close()
        return Result(
            folder=self.folder.path,
            steps=self.done,
            best_step=self.best_step,
            best_f1=self.best_f1,
            last=self.last,
            ms=_mean_times(self.folder.rows()),
        )

    def _keys(self, start: int) -> Iterator[list[Key]]:
        """The samples of this process, step by step."""
        for number in range(start, self.recipe.steps):
            step = plan(self.recipe, number)
            yield [Key(self.photos[position], position, step.size) for position in self._positions(step)]

    def _positions(self, step: Step) -> range:
        """Where this process's samples of a step lie in the order of all."""
        share = step.stage.batch // self.processes.world
        first = step.first + self.processes.rank * share
        return range(first, first + share)

    def _step(self, step: Step, stream: Iterator[Any]) -> None:
        recipe = self.recipe
        logged = step.number % recipe.run.log_every == 0 or step.number == recipe.steps - 1
        clock = Clock(self.device, logged)
        batch = next(stream).to(self.device)
        clock.lap("data")
        images, labels = augment(
            batch.images,
            batch.labels,
            batch.backgrounds,
            batch.draws,
            size=step.size,
            order=self.order,
            config=recipe.augment,
        )
        clock.lap("augment")
        self.network.train()
        if step.stage.freeze_batchnorm:
            for module in self.network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        factor = learning_rate_factor(recipe.optimiser, step.number, recipe.steps)
        for group, rate in zip(self.optimiser.param_groups, self.base_rates, strict=True):
            group["lr"] = rate * factor
        teacher = self.teacher.logits(images) if self.teacher is not None and recipe.loss.distillation > 0 else None
        kinds = {"bf16": torch.bfloat16, "fp16": torch.float16}
        half = kinds.get(recipe.run.precision)
        with torch.autocast(self.device.type, dtype=half) if half else nullcontext():
            output: Sequence[Tensor] = self.running(images, labels) if self.regions else [self.running(images)]
        loss, parts = self.loss(output[0], labels, teacher)
        if recipe.contrastive is not None:
            photos = torch.tensor([self.photos[position] for position in self._positions(step)], device=self.device)
            contrastive = self.contrast(step.number, output[1], output[2], photos)
            loss, parts = loss + recipe.contrastive.weight * contrastive, {**parts, "contrastive": contrastive.detach()}
        (broken,) = self.processes.any(not bool(torch.isfinite(loss)))
        if broken:
            self._not_a_number(step)
        clock.lap("forward")
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        clock.lap("backward")
        self.scaler.unscale_(self.optimiser)
        limit = recipe.optimiser.clip or float("inf")
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), limit)
        finite = bool(norm.isfinite())
        if self.regions is not None:
            # By itself, so that the network is clipped as without it.
            of_projection = nn.utils.clip_grad_norm_(self.regions.projection.parameters(), limit)
            finite = finite and bool(of_projection.isfinite())
        if recipe.run.precision != "fp16" and not finite:
            self._not_a_number(step)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        if self.ema is not None:
            self.ema.update(self.network)
        clock.lap("optimiser")
        if logged and self.processes.leads and self.folder is not None:
            self._log(
                {
                    "kind": "step",
                    "step": step.number + 1,
                    "size": step.size,
                    "batch": step.stage.batch,
                    "loss": float(loss.detach()),
                    **{name: float(part) for name, part in parts.items()},
                    "lr": recipe.optimiser.lr * factor,
                    "gradient_norm": float(norm),
                    "ms": clock.milliseconds(),
                }
            )

    def _log(self, row: dict[str, Any]) -> None:
        assert self.folder is not None
        self.folder.append(row)
        if self.board is not None:
            self.board.add(row)

    def _not_a_number(self, step: Step) -> None:
        names = [self.source.name(self.photos[step.first + offset]) for offset in range(min(3, step.stage.batch))]
        raise TrainingError(
            f"step {step.number + 1}",
            f"loss or gradient is not a finite number (photos {', '.join(names)}, …)",
            f"{'the state after step ' + str(self._saved) + ' is kept; ' if self._saved else ''}lower the learning "
            "rate, clip the gradient, or train in fp32",
        )

    _saved = 0

    def _evaluate(self) -> None:
        """Measures on the validation set, keeps the best; one process does, the others wait."""
        if self.processes.leads and self.validation is not None and self.folder is not None:
            model = self.ema.model if self.ema is not None else self.network
            cast(SegFace, model).image_size = self.recipe.model.size
            began = time.perf_counter()
            engine = TorchEngine.of(cast(SegFace, model), device=str(self.device))
            with self._bar()(len(self.validation.samples), "validating") as advance:
                self.last = evaluate(engine, self.validation.samples, self.validation.order, "paper", progress=advance)
            document = self.last.to_dict()
            f1 = document["mean_f1"] or 0.0
            self._log(
                {
                    "kind": "eval",
                    "step": self.done,
                    "size": self.recipe.model.size,
                    "mean_f1": document["mean_f1"],
                    "per_class_f1": document["per_class_f1"],
                    "seconds": time.perf_counter() - began,
                }
            )
            better = self.best_f1 is None or f1 > self.best_f1
            self.say(
                f"step {self.done}: mean F1 {f1:.4f} at {self.recipe.model.size}"
                + (", the best so far" if better else "")
            )
            if better:
                self.best_step, self.best_f1 = self.done, f1
                self._write_weights("best")
            self._pictures(engine)
        self.processes.wait()

    def _pictures(self, engine: TorchEngine) -> None:
        assert self.folder is not None
        assert self.validation is not None
        write_pictures(self.folder, engine, self.validation)
        if self.regions is not None:
            write_subclasses(self.folder, self.contrast, self.source, self.order)

    def _write_weights(self, name: str) -> None:
        assert self.folder is not None
        model = cast(SegFace, self.ema.model if self.ema is not None else self.network)
        write_checkpoint(
            self.folder.path / f"{name}.safetensors",
            model,
            trained_size=self.recipe.model.size,
            terms=self.recipe.model.terms,
            notes={"step": str(self.done), "seed": str(self.recipe.run.seed)},
        )

    def _save(self) -> None:
        if self.processes.leads and self.folder is not None:
            self.folder.save(
                {
                    "network": self.network.state_dict(),
                    "ema": self.ema.model.state_dict() if self.ema is not None else {},
                    "ema_updates": self.ema.updates if self.ema is not None else 0,
                    "optimiser": self.optimiser.state_dict(),
                    "scaler": self.scaler.state_dict(),
                    "contrastive": (
                        {"projection": self.regions.projection.state_dict(), **self.contrast.state()}
                        if self.regions is not None
                        else {}
                    ),
                    "done": self.done,
                    "best_step": self.best_step,
                    "best_f1": self.best_f1,
                }
            )
            self._saved = self.done


def _mean_times(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Mean over the logged steps but the first, which warms up."""
    times = [row["ms"] for row in rows if row["kind"] == "step"][1:]
    return {name: round(sum(time[name] for time in times) / len(times), 2) for name in times[0]} if times else {}


def _board(folder: Path, first: int) -> Board:
    try:
        from .tensorboard import Board
    except ModuleNotFoundError as error:
        raise missing_extra("tensorboard", "tensorboard", "run.tensorboard") from error
    return Board(folder / "tensorboard", first)


def _open(root: str, split: str | None, order: str | None) -> DataSet:
    return open_dataset(Path(root), split=split, default=label_set(order) if order else None)
