"""A run's log: a row a line in its folder, and for TensorBoard where the recipe asks for it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segface_edge.errors import InputError, missing_extra
from segface_edge.files import write_whole

if TYPE_CHECKING:
    from .tensorboard import Board


class RunLog:
    """The log of a run that starts or goes on.

    Args:
        path: of the log.
        done: steps that the run has made; what the log says of later ones is dropped: they will be made again.
        board: folder for TensorBoard's events; None: none are written.

    Raises:
        InputError: the disk is full.
        MissingDependencyError: TensorBoard is asked for and not installed.
    """

    def __init__(self, path: Path, *, done: int, board: Path | None) -> None:
        self._path = path
        rows = [row for row in read_log(path) if row["step"] <= done]
        write_whole(path, "".join(json.dumps(row) + "\n" for row in rows).encode())
        self._board = _board(board, done + 1) if board is not None else None

    def append(self, row: Mapping[str, Any]) -> None:
        """Adds a row. Raises InputError where the disk is full; no half line stays."""
        line = (json.dumps(row) + "\n").encode()
        size = self._path.stat().st_size if self._path.exists() else 0
        try:
            with self._path.open("ab", buffering=0) as file:
                written = file.write(line)
                if written != len(line):
                    raise OSError("no space left on device")
        except OSError as error:
            if self._path.exists():
                os.truncate(self._path, size)
            reason = (error.strerror or str(error)).lower()
            raise InputError(
                self._path, f"cannot be written ({reason})", "make room, then go on with --resume"
            ) from error
        if self._board is not None:
            self._board.add(row)

    def close(self) -> None:
        """Ends TensorBoard's writer, where there is one."""
        if self._board is not None:
            self._board.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """The rows of a run's log; lines that are none, as one that was cut off in the middle, are left out."""
    rows = []
    if path.exists():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(row, dict) and type(row.get("step")) is int:
                rows.append(row)
    return rows


def _board(folder: Path, first: int) -> Board:
    try:
        from .tensorboard import Board
    except ModuleNotFoundError as error:
        raise missing_extra("tensorboard", "tensorboard", "run.tensorboard") from error
    return Board(folder, first)
