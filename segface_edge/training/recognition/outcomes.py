"""What a study found: the accuracy of every training, and the methods side by side.

Shape letters: N samples, D width of the projection.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from .config import StudyConfig
from .labelled import Pictures
from .methods import METHODS

GROUPS = ("many", "medium", "few")


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
