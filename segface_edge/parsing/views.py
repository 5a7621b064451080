"""The views of a result, and which files can hold them."""

from __future__ import annotations

from typing import Literal, get_args

from segface_edge.errors import UsageError

View = Literal["overlay", "mask", "ids", "color", "cutout"]

# Formats that keep labels and transparency as they are.
_LOSSLESS = (".png",)
_WITH_ALPHA = (".png", ".webp", ".tif", ".tiff")


def check_view(view: str, suffix: str) -> None:
    """Raises UsageError where `view` is unknown or a file of this suffix cannot hold it."""
    if view not in get_args(View):
        raise UsageError(f"view {view!r}", "is unknown", f"use one of: {', '.join(get_args(View))}")
    picture_format(suffix)
    if view in ("mask", "ids") and suffix.lower() not in _LOSSLESS:
        raise UsageError(f"'{suffix}'", "would change label ids", "save masks as .png")
    if view == "cutout" and suffix.lower() not in _WITH_ALPHA:
        raise UsageError(f"'{suffix}'", "has no transparency", "save cut-outs as .png or .webp")


def picture_format(suffix: str) -> str:
    """Pillow's name of the format that a suffix stands for, in letters of any case: `.jpg` -> `JPEG`.

    Raises:
        UsageError: no format of pictures that can be written.
    """
    formats = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF",
               ".bmp": "BMP"}  # fmt: skip
    if suffix.lower() not in formats:
        raise UsageError(f"'{suffix}'", "is not a picture format that can be written", f"use {', '.join(formats)}")
    return formats[suffix.lower()]
