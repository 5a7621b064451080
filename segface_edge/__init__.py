"""segface-edge: face parsing on edge devices.

    from segface_edge import FaceParser

    with FaceParser() as parser:
        face = parser("photo.jpg")
        hair = face.mask("hair")      # (H, W) bool, in the photo's own pixels

Public names are imported on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.2.0"

if TYPE_CHECKING:
    from .errors import SegFaceEdgeError
    from .labels import LabelSet, label_set
    from .parsing.parser import FaceParser
    from .parsing.result import FaceParse
    from .parsing.stream import Streamed
    from .pictures.geometry import FaceBox
    from .sources.video import Video
    from .sources.video_out import VideoWriter
    from .spec import ModelSpec

__all__ = [
    "FaceBox",
    "FaceParse",
    "FaceParser",
    "LabelSet",
    "ModelSpec",
    "SegFaceEdgeError",
    "Streamed",
    "Video",
    "VideoWriter",
    "__version__",
    "label_set",
]

_HOMES = {
    "FaceBox": "pictures.geometry",
    "FaceParse": "parsing.result",
    "FaceParser": "parsing.parser",
    "LabelSet": "labels",
    "ModelSpec": "spec",
    "SegFaceEdgeError": "errors",
    "Streamed": "parsing.stream",
    "Video": "sources.video",
    "VideoWriter": "sources.video_out",
    "label_set": "labels",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'segface_edge' has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
