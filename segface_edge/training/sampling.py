"""Which photo comes when: epochs of a shuffled list, in which photos with rare classes come more often."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .processes import Processes
from .recipe import Recipe, SamplingConfig
from .schedule import EPOCHS, Step, plan, random


class Key(NamedTuple):
    """A sample to make: which photo, at which position of the training, for which input side."""

    photo: int
    position: int
    size: int


class PhotoOrder:
    """Which photo comes at which position: epochs of a shuffled list in which rare ones come more than once.

    Args:
        factors: (P,) how often each labelled photo comes in an epoch, 1 or more, fractions drawn anew each epoch.
        extra: how many photos of a teacher's labels follow the labelled ones in the list.
        share: of an epoch that these are.
        seed: of the shuffling.
    """

    def __init__(self, factors: npt.NDArray[np.float64], *, extra: int = 0, share: float = 0.0, seed: int) -> None:
        self._factors, self._extra, self._share, self._seed = factors, extra, share, seed
        self._epochs: list[npt.NDArray[np.int64]] = []
        self._ends: list[int] = []

    def __getitem__(self, position: int) -> int:
        """The photo at a position, 0 or more, without end."""
        while not self._ends or self._ends[-1] <= position:
            self._epochs.append(self._epoch(len(self._epochs)))
            self._ends.append((self._ends[-1] if self._ends else 0) + len(self._epochs[-1]))
        epoch = int(np.searchsorted(self._ends, position, side="right"))
        start = self._ends[epoch - 1] if epoch else 0
        return int(self._epochs[epoch][position - start])

    def _epoch(self, number: int) -> npt.NDArray[np.int64]:
        rng = random(self._seed, EPOCHS, number)
        whole = np.floor(self._factors)
        counts = (whole + (rng.random(len(self._factors)) < self._factors - whole)).astype(np.int64)
        photos = np.repeat(np.arange(len(self._factors)), counts)
        if self._extra and self._share > 0:
            wanted = round(len(photos) * self._share / (1 - self._share))
            chosen = np.concatenate([rng.permutation(self._extra) for _ in range(-(-wanted // self._extra))])[:wanted]
            photos = np.concatenate([photos, len(self._factors) + chosen])
        shuffled: npt.NDArray[np.int64] = rng.permutation(photos)
        return shuffled


def repeat_factors(present: Sequence[frozenset[int]], config: SamplingConfig) -> npt.NDArray[np.float64]:
    """(P,) how often each photo comes in an epoch: max(1, sqrt(t / f)) over its classes (LVIS, appendix)."""
    factors = np.ones(len(present))
    if config.repeat_threshold <= 0:
        return factors
    counts = np.zeros(256)
    for ids in present:
        counts[list(ids)] += 1
    for photo, ids in enumerate(present):
        rarest = min((counts[label] for label in ids), default=len(present)) / len(present)
        factors[photo] = min(max(1.0, math.sqrt(config.repeat_threshold / rarest)), config.max_repeat)
    return factors


def rate(present: Sequence[frozenset[int]], factors: npt.NDArray[np.float64], label: int) -> tuple[float, float]:
    """How often the photos that show a class come in an epoch, on average, and what share of its samples they are."""
    showing = np.array([label in ids for ids in present])
    if not showing.any():
        return 0.0, 0.0
    return float(factors[showing].mean()), float(factors[showing].sum() / factors.sum())


def keys(recipe: Recipe, photos: PhotoOrder, processes: Processes, start: int) -> Iterator[list[Key]]:
    """The samples of this process, step by step, from the step `start` to the recipe's last."""
    for number in range(start, recipe.steps):
        step = plan(recipe, number)
        yield [Key(photos[position], position, step.size) for position in positions(step, processes)]


def positions(step: Step, processes: Processes) -> range:
    """Where this process's samples of a step lie in the order of all."""
    share = step.stage.batch // processes.world
    first = step.first + processes.rank * share
    return range(first, first + share)
