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
    from .labels import LabelSet
    from .parsing.parser import FaceParser
    from .parsing.result import FaceParse
    from .pictures.geometry import FaceBox
    from .spec import ModelSpec

__all__ = ["FaceBox", "FaceParse", "FaceParser", "LabelSet", "ModelSpec", "SegFaceEdgeError", "__version__"]

_HOMES = {
    "FaceBox": "pictures.geometry",
    "FaceParse": "parsing.result",
    "FaceParser": "parsing.parser",
    "LabelSet": "labels",
    "ModelSpec": "spec",
    "SegFaceEdgeError": "errors",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'segface_edge' has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
