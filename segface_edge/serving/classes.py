"""What a page is told of the classes."""

from __future__ import annotations

from typing import Any

from segface_edge.labels import LabelSet


def classes_of(order: LabelSet) -> list[dict[str, Any]]:
    """Id, name and colour (`#rrggbb`) of each."""
    return [
        {"id": label, "name": name, "color": "#{:02x}{:02x}{:02x}".format(*color)}
        for label, (name, color) in enumerate(zip(order.classes, order.palette.tolist(), strict=True))
    ]
