"""The methods that a study compares: rows of one table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from segface_edge.training.subclasses import SplitMethod


@dataclass(frozen=True, kw_only=True)
class Method:
    """How an encoder and a classifier come about.

    Attributes:
        title: for tables.
        contrast: the loss of the first stage, on projections; None: encoder and classifier are trained at once.
        classifier: `ce`, `ldam`.
        balanced_from: share of the classifier's training after which class-balanced weights apply; 1: never.
        dynamic: SBCL with a temperature for every class.
        clustering: how SBCL splits classes.
    """

    title: str
    contrast: Literal["supcon", "sbcl"] | None = None
    classifier: Literal["ce", "ldam"] = "ce"
    balanced_from: float = 1.0
    dynamic: bool = True
    clustering: SplitMethod = "balanced"


METHODS: dict[str, Method] = {
    "ce": Method(title="cross-entropy"),
    "cb-ce": Method(title="class-balanced cross-entropy", balanced_from=0.0),
    "ldam-drw": Method(title="LDAM, weighted at the end", classifier="ldam", balanced_from=0.8),
    "supcon": Method(title="SupCon", contrast="supcon", classifier="ldam", balanced_from=0.0),
    "sbcl": Method(title="SBCL", contrast="sbcl", classifier="ldam", balanced_from=0.0),
    "sbcl-static": Method(title="SBCL, static", contrast="sbcl", classifier="ldam", balanced_from=0.0, dynamic=False),
    "sbcl-kmeans": Method(
        title="SBCL, plain k-means", contrast="sbcl", classifier="ldam", balanced_from=0.0, clustering="kmeans"
    ),
}
