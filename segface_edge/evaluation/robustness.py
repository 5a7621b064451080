"""A model against photos as people take them: F1 on a labelled set as it is, and under each corruption and strength."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from segface_edge.engines import Engine
from segface_edge.labels import RARE_PARTS, LabelSet

from .corruptions import CORRUPTIONS, STRENGTHS, CorruptedSample
from .evaluate import Evaluation, Labelled, Protocol, evaluate

_Sample = TypeVar("_Sample")


@dataclass(frozen=True, kw_only=True)
class Robustness:
    """The result of evaluations under corruptions.

    Attributes:
        clean: of the photos as they are.
        corrupted: {name: evaluations at the strengths 1, 2 and 3}.
        seed: that the corruptions follow from.
    """

    clean: Evaluation
    corrupted: Mapping[str, tuple[Evaluation, ...]]
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: F1 as fractions, null where no class occurs.

        `mean_f1` is over the classes but background that occur, `rare_f1` over those of the rare parts; `loss` is the
        clean `mean_f1` less the corrupted. `mean_loss` is the mean of all.
        """
        rows: list[dict[str, Any]] = []
        for name, evaluations in self.corrupted.items():
            for strength, evaluation in zip(STRENGTHS, evaluations, strict=True):
                mean, clean = evaluation.mean_f1(), self.clean.mean_f1()
                rows.append(
                    {
                        "corruption": name,
                        "strength": strength,
                        "what": CORRUPTIONS[name].describe(strength),
                        "mean_f1": mean,
                        "rare_f1": rare_f1(evaluation),
                        "loss": None if mean is None or clean is None else clean - mean,
                    }
                )
        losses = [row["loss"] for row in rows if row["loss"] is not None]
        return {
            "seed": self.seed,
            "clean": {"mean_f1": self.clean.mean_f1(), "rare_f1": rare_f1(self.clean)},
            "mean_loss": float(np.mean(losses)) if losses else None,
            "corrupted": rows,
        }


def robustness(
    engine: Engine,
    samples: Sequence[Labelled],
    order: LabelSet,
    protocol: Protocol,
    *,
    clean: Evaluation | None = None,
    names: Sequence[str] = tuple(CORRUPTIONS),
    seed: int = 0,
    progress: Callable[[int], None] = lambda _: None,
) -> Robustness:
    """Runs `engine` over `samples` under each corruption and strength.

    Args:
        engine: the model.
        samples: photos and label maps.
        order: of the label maps on disk.
        protocol: see `evaluate`.
        clean: the evaluation of the photos as they are, where it is known already.
        names: of corruptions.
        seed: that the corruptions follow from, with each photo's name.
        progress: called with the number of photos done since the last call.

    Raises:
        ImageError, DataError: a photo or label map cannot be read.
        UsageError: no such corruption.
    """
    clean = clean or evaluate(engine, samples, order, protocol, progress=progress)
    corrupted = {}
    for name in names:
        corrupted[name] = tuple(
            evaluate(
                engine,
                [CorruptedSample(sample, name, strength, seed) for sample in samples],
                order,
                protocol,
                progress=progress,
            )
            for strength in STRENGTHS
        )
    return Robustness(clean=clean, corrupted=corrupted, seed=seed)


def evenly(samples: Sequence[_Sample], count: int) -> list[_Sample]:
    """So many of a list, from its first on at even distances; all of them where it has no more."""
    count = min(count, len(samples))
    return [samples[i * len(samples) // count] for i in range(count)]


def rare_f1(evaluation: Evaluation) -> float | None:
    """Mean F1 of glasses, hats, earrings and necklaces, as far as they occur; None where none does."""
    f1 = evaluation.histogram.f1()
    rare = f1[[evaluation.order.classes.index(part) for part in RARE_PARTS if part in evaluation.order.classes]]
    rare = rare[~np.isnan(rare)]
    return float(rare.mean()) if len(rare) else None
