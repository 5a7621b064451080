"""A study of long-tailed recognition: methods side by side, over several seeds, on the same samples.

Shape letters: N samples, K classes, F width of the encoder's output.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from segface_edge.errors import TrainingError, UsageError
from segface_edge.training.sbcl import SubclassBalancedContrastiveLoss, supervised_contrastive_loss
from segface_edge.training.subclasses import SubclassSchedule, class_temperatures, find_subclasses, subclass_counts

from .classifiers import CosineClassifier, class_aware, class_balanced_weights, class_means, ldam_loss
from .datasets import DataSet, Pictures, long_tailed, open_dataset
from .encoders import Projection, encoder_for
from .methods import METHODS, Method
from .views import view

GROUPS = ("many", "medium", "few")
SecondStage = Literal["ldam", "sampling", "means"]
Progress = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """What is compared, and how long each is trained.

    Attributes:
        data: key of `datasets.DATASETS`.
        root: folder of CIFAR's archive.
        imbalance: of the most frequent class to the rarest.
        methods: keys of `METHODS`.
        seeds: runs of each, with seeds from 0. A seed draws the tail, its samples, the weights and the views: methods
            differ in nothing else.
        epochs: of the first stage, in which every sample comes in two views. Methods of one stage see as many views:
            2 * epochs + classifier_epochs.
        classifier_epochs: of the second stage: the encoder stays, a classifier is trained on its output.
        second_stage: `ldam`: LDAM with class-balanced weights; `sampling`: cross-entropy, classes drawn as often;
            `means`: nothing is trained, the nearest class mean decides, which shows the encoder by itself.
        batch: samples a step, or some more, so that all parts of an epoch are alike; at most all there are.
        lr: of SGD (momentum 0.9, cosine to 0).
        schedule: SBCL's, in epochs.
        smallest: delta, see `subclass_counts`.
        threads: of the CPU; None: PyTorch's choice.

    Raises:
        UsageError: a name is unknown or a number out of range.
    """

    data: str = "digits"
    root: Path | None = None
    imbalance: float = 50.0
    methods: tuple[str, ...] = ("ce", "supcon", "sbcl")
    seeds: int = 5
    epochs: int = 200
    classifier_epochs: int = 40
    second_stage: SecondStage = "ldam"
    batch: int = 64
    lr: float = 0.1
    schedule: SubclassSchedule = field(default_factory=SubclassSchedule)
    smallest: int = 10
    threads: int | None = None

    def __post_init__(self) -> None:
        for name in self.methods:
            if name not in METHODS:
                raise UsageError(f"method {name!r}", "is unknown", f"use some of: {', '.join(METHODS)}")
        if not self.methods or len(set(self.methods)) < len(self.methods):
            raise UsageError("methods", "are none, or one comes twice", f"name some of: {', '.join(METHODS)}")
        for name in ("seeds", "epochs", "classifier_epochs", "batch", "smallest"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} {getattr(self, name)}", "is below 1", "use 1 or more")
        if self.second_stage not in get_args(SecondStage):
            raise UsageError(
                f"second_stage {self.second_stage!r}", "is unknown", f"use one of {', '.join(get_args(SecondStage))}"
            )
        if not 1 <= self.imbalance < math.inf:
            raise UsageError(f"imbalance {self.imbalance:g}", "is below 1", "use 1 or more, 50 for example")
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"threads {self.threads}", "is below 1", "use 1 or more")
        if not 0 < self.lr <= 10:
            raise UsageError(f"lr {self.lr:g}", "is out of range", "use a positive number, 0.1 for example")

    @property
    def finds_subclasses(self) -> bool:
        """Whether any training gets to them."""
        return self.epochs > self.schedule.warmup and any(METHODS[name].contrast == "sbcl" for name in self.methods)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One training.

    Attributes:
        method, seed: what was trained.
        counts: n_c in training.
        accuracy: of each class in test, a fraction.
        seconds: that it took.
    """

    method: str
    seed: int
    counts: tuple[int, ...]
    accuracy: tuple[float, ...]
    seconds: float

    def summary(self) -> dict[str, float]:
        """Mean accuracy of all classes, and of each third by frequency."""
        return {
            "all": statistics.mean(self.accuracy),
            **{
                name: statistics.mean(self.accuracy[label] for label in labels)
                for name, labels in thirds(self.counts).items()
            },
        }


@dataclass(frozen=True, kw_only=True)
class Split:
    """What SBCL made of the training samples in its last clustering, for looking at it.

    Attributes:
        pictures: the samples.
        embeddings: (N, D) unit vectors.
        subclasses: (N,) int64.
    """

    pictures: Pictures
    embeddings: Tensor
    subclasses: Tensor


@dataclass(frozen=True, kw_only=True)
class Study:
    """All trainings of a study; `split` is that of the first seed of the first method with subclasses."""

    config: StudyConfig
    outcomes: tuple[Outcome, ...]
    split: Split | None

    def rows(self) -> list[dict[str, Any]]:
        """A row a method: mean and spread (standard deviation over the seeds) of each group's accuracy, and for every
        other method the mean of the differences to it seed by seed."""
        by_method = {
            method: {one.seed: one.summary() for one in self.outcomes if one.method == method}
            for method in self.config.methods
        }
        return [
            {
                "method": method,
                "title": METHODS[method].title,
                "accuracy": {group: _spread([one[group] for one in mine.values()]) for group in ("all", *GROUPS)},
                "better_than": {
                    other: {
                        group: _spread([mine[seed][group] - theirs[seed][group] for seed in mine])
                        for group in ("all", *GROUPS)
                    }
                    for other, theirs in by_method.items()
                    if other != method
                },
                "seconds": statistics.mean(one.seconds for one in self.outcomes if one.method == method),
            }
            for method, mine in by_method.items()
        ]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        config = asdict(self.config)
        config["root"] = None if self.config.root is None else str(self.config.root)
        return {"config": config, "rows": self.rows(), "runs": [asdict(one) for one in self.outcomes]}


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {
        "mean": statistics.mean(values),
        "sd": statistics.stdev(values) if len(values) > 1 else 0.0,
        "least": min(values),
        "most": max(values),
    }


def thirds(counts: Sequence[int]) -> dict[str, list[int]]:
    """Classes by frequency: the first third, the last third, and what lies between."""
    order = sorted(range(len(counts)), key=lambda label: -counts[label])
    part = max(1, len(counts) // 3)
    return dict(zip(GROUPS, (order[:part], order[part:-part] or order[:part], order[-part:]), strict=True))


def run_study(
    config: StudyConfig, *, say: Callable[[str], None] = lambda _: None, progress: Progress = lambda _: None
) -> Study:
    """Trains every method with every seed.

    Args:
        config: what to compare.
        say: told of every training that is done.
        progress: told of epochs done; `epochs_of` says how many there are.

    Raises:
        UsageError, DataError, MissingDependencyError: the data set cannot be had.
        TrainingError: a loss is not a number.
    """
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    data = open_dataset(config.data, config.root)
    outcomes: list[Outcome] = []
    split: Split | None = None
    for seed in range(config.seeds):
        taken, counts = long_tailed(data.train.labels, config.imbalance, seed=seed)
        for name in config.methods:
            began = time.perf_counter()
            run = _Run(METHODS[name], config, data, data.train.at(taken), counts, seed, progress)
            accuracy = run.train()
            outcome = Outcome(
                method=name,
                seed=seed,
                counts=tuple(counts),
                accuracy=tuple(accuracy),
                seconds=time.perf_counter() - began,
            )
            outcomes.append(outcome)
            split = split or run.split
            found = outcome.summary()
            say(
                f"{name}, seed {seed}: {100 * found['all']:.1f} % "
                f"({', '.join(f'{group} {100 * found[group]:.1f}' for group in GROUPS)}), {outcome.seconds:.0f} s"
            )
    return Study(config=config, outcomes=tuple(outcomes), split=split)


def epochs_of(config: StudyConfig) -> int:
    """Epochs of all trainings together, a first stage's of two views as two."""
    return config.seeds * len(config.methods) * (2 * config.epochs + config.classifier_epochs)


class _Run:
    """One training: a method on a long-tailed set."""

    def __init__(
        self,
        method: Method,
        config: StudyConfig,
        data: DataSet,
        train: Pictures,
        counts: Sequence[int],
        seed: int,
        progress: Progress,
    ) -> None:
        self.method, self.config, self.data, self.counts = method, config, data, counts
        # A class without samples cannot be; counts are 1 at least.
        self.pictures, self.seed, self.progress = train, seed, progress
        torch.manual_seed(seed)
        self.random = torch.Generator().manual_seed(seed)
        channels, side = train.images.shape[1:3]
        self.encoder = encoder_for(channels, side)
        self.split: Split | None = None

    def train(self) -> list[float]:
        """All stages; test accuracy by class at the end."""
        config = self.config
        classifier: nn.Module = (
            CosineClassifier(self.encoder.width, self.data.classes)
            if self._classifier_loss() == "ldam"
            else nn.Linear(self.encoder.width, self.data.classes)
        )
        if self.method.contrast is None:
            self._classify(classifier, 2 * config.epochs + config.classifier_epochs, frozen=False)
        else:
            self._contrast()
            if config.second_stage == "means":
                classifier = self._means()
                self.progress(config.classifier_epochs)
            else:
                self._classify(classifier, config.classifier_epochs, frozen=True)
        return self._test(classifier)

    def _classifier_loss(self) -> str:
        second = self.method.contrast is not None
        return "ce" if second and self.config.second_stage == "sampling" else self.method.classifier

    def _batches(self, order: Tensor) -> Iterator[Tensor]:
        """Indices in parts of one size, give or take one: a batch, or some more."""
        yield from order.tensor_split(max(1, len(order) // self.config.batch))

    def _shuffled(self) -> Tensor:
        return torch.randperm(len(self.pictures), generator=self.random)

    def _view(self, images: Tensor) -> Tensor:
        return view(images, self.data.changes, self.random)

    def _optimiser(self, modules: Sequence[nn.Module], epochs: int) -> tuple[torch.optim.SGD, Callable[[int], None]]:
        optimiser = torch.optim.SGD(
            [parameter for module in modules for parameter in module.parameters()],
            lr=self.config.lr,
            momentum=0.9,
            weight_decay=5e-4,
        )

        def cool(epoch: int) -> None:
            for group in optimiser.param_groups:
                group["lr"] = self.config.lr * 0.5 * (1 + math.cos(math.pi * epoch / epochs))

        return optimiser, cool

    def _step(self, optimiser: torch.optim.SGD, loss: Tensor) -> None:
        if not bool(loss.isfinite()):
            raise TrainingError(f"seed {self.seed}", "a loss is not a finite number", "lower --lr")
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    def _contrast(self) -> None:
        config, method = self.config, self.method
        projection = Projection(self.encoder.width)
        optimiser, cool = self._optimiser([self.encoder, projection], config.epochs)
        loss = SubclassBalancedContrastiveLoss()
        labels = self.pictures.labels
        split = subclass_counts(self.counts, config.smallest)
        subclasses, temperatures = torch.zeros_like(labels), None
        for epoch in range(config.epochs):
            cool(epoch)
            if method.contrast == "sbcl" and config.schedule.is_due(epoch):
                embeddings = self._embed(projection)
                subclasses = find_subclasses(
                    embeddings, labels, split, seed=self.seed * config.epochs + epoch, method=method.clustering
                )
                temperatures = class_temperatures(embeddings, labels, split) if method.dynamic else None
                self.split = Split(pictures=self.pictures, embeddings=embeddings, subclasses=subclasses)
            self.encoder.train()
            for indices in self._batches(self._shuffled()):
                images = self.pictures.images[indices]
                both = torch.cat([self._view(images), self._view(images)])
                one, two = projection(self.encoder(both)).chunk(2)
                features = torch.stack([one, two], dim=1)
                if method.contrast == "supcon" or config.schedule.warms_up(epoch):
                    value = supervised_contrastive_loss(features, labels[indices])
                else:
                    value = loss(features, labels[indices], subclasses[indices], temperatures)
                self._step(optimiser, value)
            self.progress(2)

    @torch.no_grad()
    def _embed(self, projection: Projection) -> Tensor:
        self.encoder.eval()
        images = self.pictures.images
        return torch.cat([projection(self.encoder(part)) for part in torch.split(images, 1024)])

    @torch.no_grad()
    def _means(self) -> CosineClassifier:
        """The nearest class mean over the training samples as they are, not in views."""
        self.encoder.eval()
        encoded = torch.cat([self.encoder(part) for part in torch.split(self.pictures.images, 1024)])
        return class_means(encoded, self.pictures.labels, self.data.classes)

    def _classify(self, classifier: nn.Module, epochs: int, *, frozen: bool) -> None:
        labels, method = self.pictures.labels, self.method
        sampling = frozen and self.config.second_stage == "sampling"
        optimiser, cool = self._optimiser([classifier] if frozen else [self.encoder, classifier], epochs)
        weights = class_balanced_weights(self.counts)
        for epoch in range(epochs):
            cool(epoch)
            self.encoder.train(not frozen)
            order = class_aware(labels, self.random) if sampling else self._shuffled()
            weighted = weights if epoch >= method.balanced_from * epochs and not sampling else None
            for indices in self._batches(order):
                images = self._view(self.pictures.images[indices])
                with torch.set_grad_enabled(not frozen):
                    features = self.encoder(images)
                scores, truth = classifier(features), labels[indices]
                if self._classifier_loss() == "ldam":
                    value = ldam_loss(scores, truth, self.counts, weighted)
                else:
                    value = nn.functional.cross_entropy(scores, truth, weighted)
                self._step(optimiser, value)
            self.progress(1)

    @torch.no_grad()
    def _test(self, classifier: nn.Module) -> list[float]:
        self.encoder.eval()
        test = self.data.test
        found = torch.cat([classifier(self.encoder(part)).argmax(1) for part in torch.split(test.images, 1024)])
        right = (found == test.labels).double()
        return [float(right[test.labels == label].mean()) for label in range(self.data.classes)]
