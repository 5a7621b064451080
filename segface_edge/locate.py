"""Where the faces are. `whole`: the frame is a portrait."""

from __future__ import annotations

from collections.abc import Callable

from .errors import UsageError
from .imaging import FaceBox, UInt8Array

Locator = Callable[[UInt8Array], FaceBox]


def whole(image: UInt8Array) -> FaceBox:
    """The whole frame as one face; right for portraits such as CelebA-HQ's."""
    height, width = image.shape[:2]
    return FaceBox.whole(height, width)


LOCATORS: dict[str, Locator] = {"whole": whole}


def locator(name: str) -> Locator:
    """The locator called `name`. Raises UsageError with the known names."""
    if name not in LOCATORS:
        raise UsageError(f"locate={name!r}", "is unknown", f"use one of: {', '.join(LOCATORS)}")
    return LOCATORS[name]
