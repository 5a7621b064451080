"""What each step is: its stage, size, photos and learning rate, all functions of the step's number."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .recipe import OptimiserConfig, Recipe, StageConfig

# Streams of random numbers, see `random`: none is used for two things.
SIZES, EPOCHS, SAMPLES, SCENES, LAYERS = 1, 2, 3, 4, 5


def random(seed: int, stream: int, number: int) -> np.random.Generator:
    """Random numbers that follow from a seed, what they are for, and a number; from nothing else."""
    return np.random.default_rng((seed, stream, number))


@dataclass(frozen=True)
class Step:
    """A step of the plan.

    Attributes:
        number: from 0.
        stage: what it belongs to.
        size: input side S.
        first: position of its first photo in the order of all photos; it takes `stage.batch` of them.
    """

    number: int
    stage: StageConfig
    size: int
    first: int


def plan(recipe: Recipe, number: int) -> Step:
    """The step `number` of a recipe, 0 <= number < recipe.steps."""
    start, first = 0, 0
    for stage in recipe.stage:
        if number < start + stage.steps:
            first += (number - start) * stage.batch
            size = stage.sizes[int(random(recipe.run.seed, SIZES, number).integers(len(stage.sizes)))]
            return Step(number, stage, size, first)
        start += stage.steps
        first += stage.steps * stage.batch
    raise IndexError(f"step {number} of {start}")


def evaluation_due(recipe: Recipe, done: int) -> bool:
    """Whether the weights are measured after `done` steps: every `run.eval_every`, and at the end."""
    every = recipe.run.eval_every
    return done == recipe.steps or bool(every and done % every == 0)


def learning_rate_factor(config: OptimiserConfig, number: int, steps: int) -> float:
    """What the learning rate is multiplied with in the step `number` of `steps`, in [0, 1]."""
    if number < config.warmup_steps:
        return (number + 1) / (config.warmup_steps + 1)
    if config.schedule == "steps":
        passed = sum(number >= share * steps for share in config.milestones)
        return float(0.1**passed)
    done = (number - config.warmup_steps) / max(1, steps - config.warmup_steps)
    return config.final_lr_share + (1 - config.final_lr_share) * 0.5 * (1 + math.cos(math.pi * done))
