"""Where a run stands, and how that is saved and found again: `state.pt`."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from segface_edge.errors import CheckpointError

from .learner import Learner
from .run_folder import RunFolder


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a run stands.

    Attributes:
        done: steps made.
        best_step, best_f1: of the best weights so far, mean F1 on the validation set; None before it is measured.
    """

    done: int = 0
    best_step: int | None = None
    best_f1: float | None = None


def save_standing(folder: RunFolder, learner: Learner, standing: Standing) -> None:
    """Saves where a run stands and what it has learned. Raises InputError where the disk is full."""
    folder.save(
        {
            **learner.state(),
            "done": standing.done,
            "best_step": standing.best_step,
            "best_f1": standing.best_f1,
        }
    )


def load_standing(folder: RunFolder, learner: Learner, device: torch.device) -> Standing | None:
    """Where the run in a folder stands; the learner goes on from what it had learned. None where nothing was saved.

    Raises:
        CheckpointError: the state is damaged, or not of this training set.
    """
    state = folder.load(device)
    if state is None:
        return None
    try:
        learner.load(state)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise CheckpointError(
            folder.state, "is damaged, or of another network", "start again in another folder"
        ) from error
    return Standing(done=state["done"], best_step=state["best_step"], best_f1=state["best_f1"])
