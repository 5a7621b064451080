"""What a run leaves behind: its state for going on, its weights, its log.

A run's folder holds `recipe.json` (with every default), `log.jsonl`, `state.pt` (to go on from), `best.safetensors` (by
the validation set), `last.safetensors`, `curves.png`, `predictions.png` and, with `[contrastive]`, `subclasses.png`.
Files are written whole or not at all.
"""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import torch

from segface_edge.errors import CheckpointError, InputError
from segface_edge.files import write_whole

from .recipe import Recipe
from .recipe_file import write_recipe

# What a state holds.
_STATE = ("network", "ema", "ema_updates", "optimiser", "scaler", "done", "best_step", "best_f1")


class RunFolder:
    """A run's folder.

    Args:
        path: made where it is absent.
        recipe: of the run.
        resume: go on with the run that the folder holds.

    Raises:
        InputError: the folder holds a run and `resume` is off, or another recipe's; it cannot be written.
    """

    def __init__(self, path: Path, recipe: Recipe, *, resume: bool) -> None:
        self.path = path
        document = write_recipe(recipe)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise InputError(path, f"cannot be made ({reason})", "choose another folder") from error
        self.state, self.log = path / "state.pt", path / "log.jsonl"
        held = path / "recipe.json"
        # A run that ended before its first step left nothing worth keeping.
        begun = held.exists() and (self.state.exists() or bool(self.rows()))
        if begun and not resume:
            raise InputError(path, "holds a run already", "go on with --resume, or choose another folder")
        if resume and not held.exists():
            raise InputError(path, "holds no run", "start it without --resume")
        if not begun:
            write_whole(held, (json.dumps(document, indent=2) + "\n").encode())
        elif _read(held) != json.loads(json.dumps(document)):
            raise InputError(
                held, "is of another recipe", "resume with the run's recipe and the same --set, or start a new one"
            )

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
        if not isinstance(state, dict) or not set(_STATE) <= set(state):
            raise CheckpointError(self.state, "holds no state of a run", "start again in another folder")
        return state

    def append(self, row: dict[str, Any]) -> None:
        """Adds a line to the log. Raises InputError where the disk is full; no half line stays."""
        line = (json.dumps(row) + "\n").encode()
        size = self.log.stat().st_size if self.log.exists() else 0
        try:
            with self.log.open("ab", buffering=0) as file:
                written = file.write(line)
                if written != len(line):
                    raise OSError("no space left on device")
        except OSError as error:
            if self.log.exists():
                os.truncate(self.log, size)
            reason = (error.strerror or str(error)).lower()
            raise InputError(
                self.log, f"cannot be written ({reason})", "make room, then go on with --resume"
            ) from error

    def rows(self) -> list[dict[str, Any]]:
        """The log's lines."""
        return read_log(self.log)

    def cut_log(self, step: int) -> None:
        """Drops what the log says of steps after `step`: they will be made again."""
        rows = [row for row in self.rows() if row["step"] <= step]
        write_whole(self.log, "".join(json.dumps(row) + "\n" for row in rows).encode())


def _read(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(path, "is damaged", "start again in another folder") from error


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a run's log; one that was cut off in the middle is left out."""
    rows = []
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                continue
    return rows
