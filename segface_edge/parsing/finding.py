"""Which detector a parser looks for faces with."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from segface_edge.faces.finder import Finder
from segface_edge.faces.yunet import YuNet
from segface_edge.zoo.models import detector as fetched_or_bundled


def finder(locate: str, detector: str | PathLike[str] | None, look: int) -> Finder | None:
    """The detector where it is wanted: what was named goes before what was fetched, and that before the bundled one.

    Args:
        locate, detector, look: as of `FaceParser`.
    """
    if locate not in ("auto", "yunet"):
        return None
    return Finder(YuNet(fetched_or_bundled() if detector is None else Path(detector)), look=look)
