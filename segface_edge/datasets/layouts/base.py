"""What a layout is, and what readers share."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from segface_edge.datasets.samples import Sample
from segface_edge.errors import DataError

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that keeps a photo, or a part of its labels, out of a data set.

    Attributes:
        kind: `missing`: a file that should be there; `name`: one whose name or place does not fit; `list`: a line of a
            list; `landmarks`: points that cannot be read.
        error: file, problem and cure.
    """

    kind: str
    error: DataError


@dataclass(kw_only=True)
class Listing:
    """What a reader finds."""

    samples: list[Sample] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    spare: list[Path] = field(default_factory=list)

    def lacks(self, path: Path, cure: str) -> None:
        """A file is not there: its photo is left out."""
        self.found("missing", DataError(path, "no such file", cure))

    def found(self, kind: str, error: DataError) -> None:
        """Something is wrong; the rest is still looked at, so that all that is wrong is known at once."""
        self.faults.append(Fault(kind=kind, error=error))


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A way to lay out a data set.

    Attributes:
        files: what lies where, for messages.
        lies_in: whether a folder looks like it.
        splits: the splits in such a folder; None stands for the undivided whole.
        read: a split's files.
        order: the order that the layout prescribes; None where `dataset.toml` or the caller names it.
        divided_by: the file that divides it into splits, and where to get it; empty where folders do.
    """

    files: str
    lies_in: Callable[[Path], bool]
    splits: Callable[[Path], tuple[str | None, ...]]
    read: Callable[[Path, str | None], Listing]
    order: str | None = None
    divided_by: str = ""


def base_of(root: Path, split: str | None) -> Path:
    """The folder of a split; None is the whole."""
    return root if split is None else root / split


def files_in(place: Path) -> list[str]:
    """Names of the files in a folder, sorted, hidden ones (`._photo.jpg` of a Mac) left out.

    Raises:
        DataError: no such folder.
    """
    try:
        with os.scandir(place) as entries:
            return sorted(entry.name for entry in entries if entry.name[0] != "." and not entry.is_dir())
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(place, f"cannot be listed ({reason})", "check the data set's layout") from error


def placed(*parts: str) -> Callable[[Path], tuple[str | None, ...]]:
    """Finds the splits that hold a folder of one of the names `parts`."""

    def splits(root: Path) -> tuple[str | None, ...]:
        return tuple(s for s in (None, *SPLITS) if any((base_of(root, s) / part).is_dir() for part in parts))

    return splits
