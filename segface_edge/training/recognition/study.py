"""A study of long-tailed recognition: methods side by side, over several seeds, on the same samples."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from .config import StudyConfig
from .labelled import open_dataset
from .methods import METHODS
from .outcomes import GROUPS, Outcome, Split, Study
from .stages import Progress, Run
from .tails import long_tailed


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
            run = Run(METHODS[name], config, data, data.train.at(taken), counts, seed, progress)
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
