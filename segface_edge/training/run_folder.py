"""What a run leaves behind: its state for going on, its weights, its log and pictures.

A run's folder holds `recipe.json` (with every default), `log.jsonl`, `state.pt` (to go on from), `best.safetensors` (by
the validation set), `last.safetensors`, `curves.png`, `predictions.png` and, with `[contrastive]`, `subclasses.png`.
Files are written whole or not at all.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import torch

from segface_edge.errors import CheckpointError, InputError
from segface_edge.files import make_folder, write_whole
from segface_edge.network import SegFace
from segface_edge.network.checkpoint import write_checkpoint

from .recipe import Recipe
from .resuming import another_recipe, differences, extends, read_record, record
from .run_log import read_log

# What a state holds.
_STATE = ("network", "ema", "ema_updates", "optimiser", "scaler", "done", "best_step", "best_f1")


class RunFolder:
    """A run's folder.

    Attributes:
        path, state, log: where it is, and two of its files.
        extended_from: steps that its recipe had before this one gave it more; None where it has the same.

    Args:
        path: made where it is absent.
        recipe: of the run.
        resume: go on with the run that the folder holds.

    Raises:
        InputError: the folder holds a run and `resume` is off, or another recipe's; it cannot be written.
        CheckpointError: the run is to be made longer, and its state is damaged.
    """

    def __init__(self, path: Path, recipe: Recipe, *, resume: bool) -> None:
        self.path, self._recipe = path, recipe
        self.extended_from: int | None = None
        make_folder(path)
        self.state, self.log = path / "state.pt", path / "log.jsonl"
        held = path / "recipe.json"
        # A run that ended before its first step left nothing worth keeping.
        begun = held.exists() and (self.state.exists() or bool(read_log(self.log)))
        if begun and not resume:
            raise InputError(path, "holds a run already", "go on with --resume, or choose another folder")
        if resume and not held.exists():
            raise InputError(path, "holds no run", "start it without --resume")
        if begun:
            self._compare(held)
        content = (json.dumps(record(recipe), indent=2) + "\n").encode()
        if not held.exists() or held.read_bytes() != content:
            write_whole(held, content)

    def _compare(self, held: Path) -> None:
        """Raises InputError where the run's recipe is another one, and this one does not make a finished run longer."""
        there, written = read_record(held)
        found = differences(there, written, self._recipe)
        if not found:
            return
        if not all(one.key.startswith("stage") for one in found) or not extends(there, self._recipe):
            raise another_recipe(held, found)
        state = self.load(torch.device("cpu"))
        done = 0 if state is None else int(state["done"])
        if done < there.steps:
            raise InputError(
                held,
                f"has {there.steps} steps, this recipe {self._recipe.steps}, and the run is at {done}",
                "finish it with its own recipe, then make it longer",
            )
        self.extended_from = there.steps

    def save(self, state: dict[str, Any]) -> None:
        """Writes the state. Raises InputError where the disk is full; the state before it stays."""
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_whole(self.state, buffer.getvalue())

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The state, or None where none was saved yet. Raises CheckpointError where it is damaged."""
        if not self.state.exists():
            return None
        try:
            state = torch.load(self.state, map_location=device, weights_only=True)
        except Exception as error:  # the unpickler raises whatever the bytes lead it to
            raise CheckpointError(self.state, "is damaged", "start again in another folder") from error
        if not isinstance(state, dict) or not set(_STATE) <= set(state) or type(state["done"]) is not int:
            raise CheckpointError(self.state, "holds no state of a run", "start again in another folder")
        return state

    def write_weights(self, name: str, model: SegFace, step: int) -> None:
        """Writes `name`.safetensors, as they are after a step. Raises InputError where the disk is full."""
        write_checkpoint(
            self.path / f"{name}.safetensors",
            model,
            trained_size=self._recipe.model.size,
            terms=self._recipe.model.terms,
            notes={"step": str(step), "seed": str(self._recipe.run.seed)},
        )
