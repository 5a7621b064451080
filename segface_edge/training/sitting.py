"""A sitting: one of the times that a run is worked on, how long it may take, and how many more the run needs.

The steps of a run, and with them its learning rate, are its recipe's alone: a run of many short sittings is that of one
long one. Where a sitting ends is all that its length says.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from .recipe import Recipe
from .schedule import evaluation_due, plan

# The next step is taken to last as long as the slowest of so many before it.
_REMEMBERED = 50


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What is left of a run, by what its steps have cost so far.

    Attributes:
        seconds_a_step: mean of this sitting.
        seconds: to the recipe's last step, evaluations and saved states counted.
        sittings: of this one's length to the recipe's last step, each with its start; None where it has no limit.
    """

    seconds_a_step: float
    seconds: float
    sittings: int | None

    def __str__(self) -> str:
        """One line, as users are told."""
        line = f"{self.seconds_a_step:.2f} s a step, about {math.ceil(self.seconds / 60)} min to the end"
        if self.sittings is None:
            return line
        return f"{line}: {self.sittings} {'sitting' if self.sittings == 1 else 'sittings'} of this length"


class Sitting:
    """The time of a sitting. It begins when this is made; `ready`, `stepped`, `evaluated` and `saved` each end a part.

    Args:
        recipe: of the run.
        minutes: wall time that it may take, reading the data included; None: no limit.
        clock: seconds that never go back.
    """

    def __init__(self, recipe: Recipe, minutes: float | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._recipe, self._clock = recipe, clock
        self._limit = None if minutes is None else 60 * minutes
        self._began = self._last = clock()
        self._start = self._saving = self._evaluation = 0.0
        self._steps, self._seconds, self._pixels = 0, 0.0, 0
        self._rates: deque[float] = deque(maxlen=_REMEMBERED)

    def ready(self, evaluation: float) -> None:
        """All is read, the first step comes; an evaluation took so many seconds in earlier sittings, 0: not known."""
        self._start, self._evaluation = self._lap(), evaluation

    def stepped(self, number: int) -> None:
        """The step `number` was made."""
        seconds, pixels = self._lap(), _pixels(self._recipe, number)
        if self._steps == 1:
            # The first one warms up: it counts only while it is the only one.
            self._seconds, self._pixels = 0.0, 0
        self._steps += 1
        self._seconds += seconds
        self._pixels += pixels
        self._rates.append(seconds / pixels)

    def evaluated(self) -> None:
        """The weights were measured."""
        self._evaluation = self._lap()

    def saved(self) -> None:
        """The state was saved."""
        self._saving = self._lap()

    def over(self, done: int) -> bool:
        """Whether the step after `done` of them, and what is due behind it, would end too late.

        Not before a first step: a run goes on by one at least in each sitting.
        """
        if self._limit is None or not self._steps or done >= self._recipe.steps:
            return False
        # The state, and the weights as a file of their own.
        needed = max(self._rates) * _pixels(self._recipe, done) + 2 * self._saving
        if evaluation_due(self._recipe, done + 1):
            needed += self._evaluation
        return self._clock() - self._began + needed > self._limit

    def outlook(self, done: int) -> Outlook | None:
        """What is left after `done` steps; None before this sitting's first."""
        if not self._steps:
            return None
        run, total = self._recipe.run, self._recipe.steps
        evaluations = total // run.eval_every - done // run.eval_every if run.eval_every else 1
        saves = total // run.save_every - done // run.save_every
        seconds = (
            self._seconds / self._pixels * _pixels_left(self._recipe, done)
            + evaluations * self._evaluation
            + saves * self._saving
        )
        a_step = self._seconds / max(1, self._steps - 1)
        sittings = None
        if self._limit is not None:
            sittings = math.ceil(seconds / max(self._limit - self._start, a_step))
        return Outlook(seconds_a_step=a_step, seconds=seconds, sittings=sittings)

    def _lap(self) -> float:
        now = self._clock()
        seconds, self._last = now - self._last, now
        return seconds


def _pixels(recipe: Recipe, number: int) -> int:
    """Pixels of the step `number`, which its cost goes by."""
    step = plan(recipe, number)
    return step.stage.batch * step.size**2


def _pixels_left(recipe: Recipe, done: int) -> float:
    """Pixels of all steps behind the first `done`; each size of a stage comes equally often."""
    pixels = 0.0
    for stage in recipe.stage:
        left, done = max(0, stage.steps - done), max(0, done - stage.steps)
        pixels += left * stage.batch * sum(size**2 for size in stage.sizes) / len(stage.sizes)
    return pixels
