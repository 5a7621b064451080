"""What a study compares, and how long each method is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from segface_edge.errors import UsageError
from segface_edge.training.subclasses import SubclassSchedule

from .methods import METHODS

SecondStage = Literal["ldam", "sampling", "means"]


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """What is compared, and how long each is trained.

    Attributes:
        data: key of `labelled.DATASETS`.
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
