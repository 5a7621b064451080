"""The log's rows for TensorBoard, where a recipe asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter


class Board:
    """Event files in a run's folder.

    Args:
        folder: of the events.
        first: the step that the run starts or goes on with; what was written of it and later ones is dropped.
    """

    def __init__(self, folder: Path, first: int) -> None:
        self._writer = SummaryWriter(str(folder), purge_step=first)

    def add(self, row: Mapping[str, Any]) -> None:
        """Every number of a row, under its kind; of tables of numbers each entry."""
        for name, value in row.items():
            table = value if isinstance(value, dict) else {"": value}
            for key, number in table.items():
                if isinstance(number, int | float) and name != "step":
                    tag = "/".join(part for part in (str(row["kind"]), name, key) if part)
                    self._writer.add_scalar(tag, number, row["step"])
        self._writer.flush()

    def close(self) -> None:
        """Ends the writer's thread."""
        self._writer.close()
