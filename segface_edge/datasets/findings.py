"""What a check of a data set finds: the kinds of findings, and the report of all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from segface_edge.labels import LabelSet

from .counts import Counts, SplitCounts

Level = Literal["fault", "warning"]
# Kind of finding -> whether it makes training wrong, and its title.
KINDS: dict[str, tuple[Level, str]] = {
    "name": ("fault", "files whose name or place does not fit"),
    "list": ("fault", "lines of lists that cannot be used"),
    "missing": ("fault", "files that are missing"),
    "photo": ("fault", "photos that cannot be read"),
    "labels": ("fault", "label maps that cannot be read"),
    "landmarks": ("fault", "landmarks that cannot be read"),
    "ids": ("fault", "label maps with ids outside the label order"),
    "size": ("fault", "label maps of another shape than their photo"),
    "swapped": ("fault", "label maps whose left and right look swapped"),
    "reversed": ("fault", "left and right reversed in the whole split"),
    "leak": ("fault", "near-duplicates across splits"),
    "duplicate": ("warning", "near-duplicates within a split"),
    "spare": ("warning", "files without their partner"),
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something about a data set.

    Attributes:
        kind: key of `KINDS`.
        split: where; `all` for a set that is not divided.
        file: what it is about.
        problem: what is wrong.
        cure: what to do about it.
        other: of near-duplicates, the photo that `file` looks like.
    """

    kind: str
    split: str
    file: Path
    problem: str
    cure: str
    other: Path | None = None

    @property
    def level(self) -> Level:
        """`fault`: do not train on it. `warning`: look at it."""
        return KINDS[self.kind][0]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "kind": self.kind,
            "split": self.split,
            "file": str(self.file),
            "problem": self.problem,
            "cure": self.cure,
            "other": None if self.other is None else str(self.other),
        }


@dataclass(frozen=True, kw_only=True)
class Report:
    """What `check` found.

    Attributes:
        root: the data set.
        layout: key of `datasets.LAYOUTS`.
        order: of the counts.
        splits: one entry each.
        findings: in the order of `KINDS`, then of splits and names.
    """

    root: Path
    layout: str
    order: LabelSet
    splits: tuple[SplitCounts, ...]
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether there is no fault."""
        return not any(finding.level == "fault" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""

        def per_class(counts: Counts) -> dict[str, int]:
            return dict(zip(self.order.classes, counts.tolist(), strict=True))

        def found(level: Level) -> list[dict[str, Any]]:
            return [finding.to_dict() for finding in self.findings if finding.level == level]

        return {
            "root": str(self.root),
            "layout": self.layout,
            "label_order": self.order.name,
            "ok": self.ok,
            "splits": {
                split.name: {
                    "pairs": split.pairs,
                    "images": per_class(split.images),
                    "pixels": per_class(split.pixels),
                    "ignored_pixels": split.ignored,
                }
                for split in self.splits
            },
            "faults": found("fault"),
            "warnings": found("warning"),
        }
