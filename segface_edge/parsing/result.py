"""FaceParse, the result: the label map of a photo in the photo's own pixels, and what one does with it."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from segface_edge.errors import InputError, UsageError
from segface_edge.files import write_whole
from segface_edge.labels import LabelSet, label_set
from segface_edge.pictures.geometry import FaceBox, UInt8Array
from segface_edge.pictures.label_maps import indexed

from .coco import coco_document
from .outlines import polygons_of
from .views import View, check_view, picture_format


@dataclass(frozen=True, kw_only=True, eq=False)
class FaceLabels:
    """What one face's square showed.

    Attributes:
        top, left: the photo's pixel that its corner is.
        labels: (h, w) uint8, of this face alone.
    """

    top: int
    left: int
    labels: UInt8Array


@dataclass(frozen=True, kw_only=True, eq=False)
class FaceParse:
    """A parsed photo.

    Attributes:
        image: (H, W, 3) uint8 RGB, the upright photo.
        labels: (H, W) uint8, positions in `label_set.classes`.
        label_set: the label order.
        confidence: (H, W) uint8, probability of the label times 255; None where the model does not give it.
        faces: where the faces are, with score, landmarks and turn where they are known; empty: none was found.
        face_labels: of each of `faces`, the labels of its own, where several are merged in `labels`.
        locator: who found them: `boxes`, `landmarks` (they were given), `yunet`, `self` or `whole`.
        timings: milliseconds of `decode`, `locate`, `fit`, `inference`, `restore`; a batch shares its inference evenly.
        engine: what computed it, and where.
    """

    image: UInt8Array
    labels: UInt8Array
    label_set: LabelSet
    confidence: UInt8Array | None = None
    faces: tuple[FaceBox, ...] = ()
    face_labels: tuple[FaceLabels, ...] = ()
    locator: str = ""
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

    @property
    def turn(self) -> int:
        """Degrees by which the photo is turned clockwise from upright, in quarter turns: 0, 90, 180, 270.

        As most of its faces say (of as many, the surer), where their eyes and mouth are known. Labels are in the pixels
        of the photo as it is, not turned.
        """
        turns = [face.turn for face in self.faces]
        return max(turns, key=turns.count, default=0)

    def face(self, index: int) -> FaceParse:
        """One face by itself: the part of the photo that its square showed, and its own labels there.

        Args:
            index: the face's number, in `faces`, from 0.

        Raises:
            UsageError: there is no such face.
        """
        if not 0 <= index < len(self.face_labels):
            raise UsageError(f"face {index}", f"does not exist: there are {len(self.face_labels)}", "count from 0")
        own, box = self.face_labels[index], self.faces[index]
        rows = slice(own.top, own.top + own.labels.shape[0])
        columns = slice(own.left, own.left + own.labels.shape[1])
        return FaceParse(
            image=self.image[rows, columns],
            labels=own.labels,
            label_set=self.label_set,
            confidence=None,
            faces=(box.moved(-own.left, -own.top),),
            locator=self.locator,
            engine=self.engine,
        )

    def areas(self) -> dict[str, int]:
        """Pixels per class, every class of the order."""
        counts = np.bincount(self.labels.reshape(-1), minlength=len(self.label_set))
        return dict(zip(self.label_set.classes, counts.tolist(), strict=True))

    def present(self, *, min_pixels: int = 1) -> list[str]:
        """The classes that cover at least `min_pixels`, background left out."""
        return [name for name, pixels in list(self.areas().items())[1:] if pixels >= min_pixels]

    def color(self) -> UInt8Array:
        """(H, W, 3) uint8 RGB: each class in its colour."""
        table = np.zeros((256, 1, 3), np.uint8)
        table[: len(self.label_set), 0] = self.label_set.palette
        # OpenCV's table lookup, some ten times as fast as NumPy's.
        return np.asarray(cv2.LUT(cv2.cvtColor(self.labels, cv2.COLOR_GRAY2RGB), table), np.uint8)

    def overlay(self, alpha: float = 0.5) -> UInt8Array:
        """(H, W, 3) uint8 RGB: the photo with the classes' colours laid over it, background untouched.

        Args:
            alpha: 0 shows the photo, 1 the colours.

        Raises:
            UsageError: `alpha` is out of range.
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
        wanted = np.zeros(256, np.uint8)
        kept = self.label_set.indices(classes) if classes else []
        wanted[kept] = kept
        if not classes:
            self.mask()  # says what is wrong
        return self._looked_up(wanted, self.label_set)

    def polygons(self, *classes: str, tolerance: float = 1.0) -> list[list[tuple[float, float]]]:
        """The outlines of where any of `classes` is: one polygon a piece, its points (x, y) in the photo's pixels.

        Outlines follow the edges of pixels. Holes are left out; a mask with them is what `to_coco` gives.

        Args:
            classes: as for `mask`.
            tolerance: pixels by which the outline may leave the mask's, for fewer points; 0 keeps all.

        Raises:
            UsageError: as for `mask`.
        """
        return polygons_of(self.mask(*classes), tolerance=tolerance)

    def to_coco(self, *, file_name: str = "", image_id: int = 0, first_id: int = 1) -> dict[str, list[dict[str, Any]]]:
        """The parse as COCO's: `images`, `categories` (ids are labels) and `annotations`, one a class of each face.

        Masks are run-length encoded down the columns, uncompressed, as COCO's tools read them.

        Args:
            file_name: the photo's.
            image_id: the photo's number.
            first_id: the first annotation's number.
        """
        whole = FaceLabels(top=0, left=0, labels=self.labels)
        return coco_document(
            self.labels,
            self.face_labels if len(self.face_labels) > 1 else (whole,),
            self.label_set,
            file_name=file_name,
            image_id=image_id,
            first_id=first_id,
        )

    def to_json(self) -> dict[str, Any]:
        """JSON-ready: size, label order, pixels by class, faces, milliseconds; what `segface-edge parse --json` has."""
        height, width = self.labels.shape
        return {
            "width": width,
            "height": height,
            "label_order": self.label_set.name,
            "areas": self.areas(),
            "present": self.present(),
            "faces": [
                {
                    "box": [round(edge, 1) for edge in (box.left, box.top, box.right, box.bottom)],
                    "score": round(box.score, 3),
                    "landmarks": box.landmarks and [[round(x, 1), round(y, 1)] for x, y in box.landmarks],
                    "turn": box.turn,
                    **({} if box.track is None else {"track": box.track}),
                }
                for box in self.faces
            ],
            "turn": self.turn,
            "locator": self.locator,
            "timings_ms": {name: round(value, 3) for name, value in self.timings.items()},
            "engine": self.engine,
        }

    def remap(self, order: str | LabelSet) -> FaceParse:
        """The same parse in another label order (see `LabelSet.table_to`)."""
        target = label_set(order) if isinstance(order, str) else order
        table = np.zeros(256, np.uint8)
        table[: len(self.label_set)] = self.label_set.table_to(target)
        return self._looked_up(table, target)

    def _looked_up(self, table: UInt8Array, order: LabelSet) -> FaceParse:
        faces = tuple(replace(one, labels=table[one.labels]) for one in self.face_labels)
        return replace(self, labels=table[self.labels], label_set=order, face_labels=faces)

    def save(
        self, path: str | PathLike[str], view: View = "overlay", *, alpha: float = 0.5, classes: tuple[str, ...] = ()
    ) -> None:
        """Writes a picture, whole or not at all; the suffix names the format.

        Args:
            path: where to. `mask` (label ids with a palette) and `ids` (the same as grey) need .png, `cutout` a format
                with transparency.
            view: what to show.
            alpha: of `overlay`, 0 to 1.
            classes: show these only, in any view; groups are allowed, as for `mask`. Empty: all but background.

        Raises:
            UsageError: unknown view or class, or a format that would spoil it.
            InputError: the file cannot be written.
        """
        path = Path(path)
        check_view(view, path.suffix)
        buffer = io.BytesIO()
        quality = {"quality": 95} if path.suffix.lower() in (".jpg", ".jpeg", ".webp") else {}
        try:
            self.picture(view, alpha=alpha, classes=classes).save(buffer, picture_format(path.suffix), **quality)
        except (OSError, ValueError) as error:  # JPEG and WebP have largest sizes
            raise InputError(path, f"cannot hold this picture ({error})", "save it as .png") from error
        write_whole(path, buffer.getvalue())

    def picture(self, view: View = "overlay", *, alpha: float = 0.5, classes: tuple[str, ...] = ()) -> Image.Image:
        """One of the views as a PIL image; the pixels of `mask`, with a palette, and of `ids`, grey, are the labels.

        Args:
            view: `overlay`, `mask`, `ids`, `color` or `cutout`. Of a file of `mask` OpenCV reads the colours, of one of
                `ids` the labels.
            alpha: of `overlay`, 0 to 1.
            classes: show these only, in any view; groups are allowed, as for `mask`. Empty: all but background.

        Raises:
            UsageError: unknown view or class, `alpha` out of range.
        """
        # A cut-out may be of the background, which the others leave out.
        shown = self.only(*classes) if classes and view != "cutout" else self
        views: dict[str, Callable[[], Image.Image]] = {
            "overlay": lambda: Image.fromarray(shown.overlay(alpha)),
            "color": lambda: Image.fromarray(shown.color()),
            "cutout": lambda: Image.fromarray(shown.cutout(*classes)),
            "mask": lambda: indexed(shown.labels, shown.label_set.palette),
            "ids": lambda: Image.fromarray(shown.labels.copy()),
        }
        if view not in views:
            raise UsageError(f"view {view!r}", "is unknown", f"use one of: {', '.join(views)}")
        return views[view]()
