"""FaceParse, the result: the label map of a photo in the photo's own pixels, and what one does with it."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from .errors import InputError, UsageError
from .files import write_whole
from .imaging import FaceBox, UInt8Array
from .labels import LabelSet, label_set

View = Literal["overlay", "mask", "color", "cutout"]

# Formats that keep labels and transparency as they are.
_LOSSLESS = (".png",)
_WITH_ALPHA = (".png", ".webp", ".tif", ".tiff")


@dataclass(frozen=True, kw_only=True, eq=False)
class FaceParse:
    """A parsed photo.

    Attributes:
        image: (H, W, 3) uint8 RGB, the upright photo.
        labels: (H, W) uint8, positions in `label_set.classes`.
        label_set: the label order.
        confidence: (H, W) uint8, probability of the label times 255; None where the model does not give it.
        faces: where the faces are.
        timings: milliseconds of `decode`, `fit`, `inference`, `restore`; a batch's inference is shared evenly.
        engine: what computed it, and where.
    """

    image: UInt8Array
    labels: UInt8Array
    label_set: LabelSet
    confidence: UInt8Array | None = None
    faces: tuple[FaceBox, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)
    engine: str = ""

    def __post_init__(self) -> None:
        shape = self.image.shape[:2]
        if self.labels.shape != shape or (self.confidence is not None and self.confidence.shape != shape):
            raise ValueError(f"labels {self.labels.shape} and confidence must have the photo's shape {shape}")

    def mask(self, *classes: str) -> npt.NDArray[np.bool_]:
        """(H, W) bool: where any of `classes` is. Groups are allowed: `mask("eyes")`, `mask("lips")`.

        Raises:
            UsageError: no class was named, or the order does not have it.
        """
        if not classes:
            raise UsageError("mask()", "names no class", f"name one or more of: {', '.join(self.label_set.classes)}")
        wanted = np.zeros(256, bool)
        wanted[self.label_set.indices(classes)] = True
        return wanted[self.labels]

    def areas(self) -> dict[str, int]:
        """Pixels per class, every class of the order."""
        counts = np.bincount(self.labels.reshape(-1), minlength=len(self.label_set))
        return dict(zip(self.label_set.classes, counts.tolist(), strict=True))

    def present(self, *, min_pixels: int = 1) -> list[str]:
        """The classes that cover at least `min_pixels`, background left out."""
        return [name for name, pixels in list(self.areas().items())[1:] if pixels >= min_pixels]

    def color(self) -> UInt8Array:
        """(H, W, 3) uint8 RGB: each class in its colour."""
        return self.label_set.palette[self.labels]

    def overlay(self, alpha: float = 0.5) -> UInt8Array:
        """(H, W, 3) uint8 RGB: the photo with the classes' colours laid over it, background untouched.

        Args:
            alpha: 0 shows the photo, 1 the colours.
        """
        if not 0 <= alpha <= 1:
            raise UsageError(f"alpha {alpha}", "is out of range", "give 0 to 1")
        blended = np.asarray(cv2.addWeighted(self.image, 1 - alpha, self.color(), alpha, 0), np.uint8)
        cv2.copyTo(self.image, np.equal(self.labels, 0).view(np.uint8), blended)
        return blended

    def cutout(self, *classes: str) -> UInt8Array:
        """(H, W, 4) uint8 RGBA: the photo where `classes` are, transparent elsewhere; all but background by default."""
        mask = self.mask(*classes) if classes else self.labels != 0
        return np.dstack([np.where(mask[..., None], self.image, np.uint8(0)), mask.astype(np.uint8) * np.uint8(255)])

    def only(self, *classes: str) -> FaceParse:
        """The same parse with every class but `classes` made background. Groups are allowed, as for `mask`."""
        return replace(self, labels=np.where(self.mask(*classes), self.labels, np.uint8(0)))

    def remap(self, order: str | LabelSet) -> FaceParse:
        """The same parse in another label order (see `LabelSet.table_to`)."""
        target = label_set(order) if isinstance(order, str) else order
        table = np.zeros(256, np.uint8)
        table[: len(self.label_set)] = self.label_set.table_to(target)
        return replace(self, labels=table[self.labels], label_set=target)

    def save(
        self, path: str | PathLike[str], view: View = "overlay", *, alpha: float = 0.5, classes: tuple[str, ...] = ()
    ) -> None:
        """Writes a picture, whole or not at all; the suffix names the format.

        Args:
            path: where to. `mask` needs .png (label ids with a palette), `cutout` a format with transparency.
            view: what to show.
            alpha: of `overlay`.
            classes: of `cutout`.

        Raises:
            UsageError: unknown view, or a format that would spoil it.
            InputError: the file cannot be written.
        """
        path = Path(path)
        check_view(view, path.suffix)
        buffer = io.BytesIO()
        quality = {"quality": 95} if path.suffix.lower() in (".jpg", ".jpeg", ".webp") else {}
        try:
            self.picture(view, alpha=alpha, classes=classes).save(buffer, _format(path.suffix), **quality)
        except (OSError, ValueError) as error:  # JPEG and WebP have largest sizes
            raise InputError(path, f"cannot hold this picture ({error})", "save it as .png") from error
        write_whole(path, buffer.getvalue())

    def picture(self, view: View = "overlay", *, alpha: float = 0.5, classes: tuple[str, ...] = ()) -> Image.Image:
        """One of the views as a PIL image; `mask` is a palette image whose pixels are the labels."""
        views: dict[str, Callable[[], Image.Image]] = {
            "overlay": lambda: Image.fromarray(self.overlay(alpha)),
            "color": lambda: Image.fromarray(self.color()),
            "cutout": lambda: Image.fromarray(self.cutout(*classes)),
            "mask": self._indexed,
        }
        if view not in views:
            raise UsageError(f"view {view!r}", "is unknown", f"use one of: {', '.join(views)}")
        return views[view]()

    def _indexed(self) -> Image.Image:
        picture = Image.fromarray(self.labels)
        picture.putpalette(self.label_set.palette.tobytes())
        return picture


def check_view(view: str, suffix: str) -> None:
    """Raises UsageError where `view` is unknown or a file of this suffix cannot hold it."""
    if view not in get_args(View):
        raise UsageError(f"view {view!r}", "is unknown", f"use one of: {', '.join(get_args(View))}")
    _format(suffix)
    if view == "mask" and suffix.lower() not in _LOSSLESS:
        raise UsageError(f"'{suffix}'", "would change label ids", "save masks as .png")
    if view == "cutout" and suffix.lower() not in _WITH_ALPHA:
        raise UsageError(f"'{suffix}'", "has no transparency", "save cut-outs as .png or .webp")


def _format(suffix: str) -> str:
    formats = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF",
               ".bmp": "BMP"}  # fmt: skip
    if suffix.lower() not in formats:
        raise UsageError(f"'{suffix}'", "is not a picture format that can be written", f"use {', '.join(formats)}")
    return formats[suffix.lower()]
