"""A photo and its label map, as files: read when they are used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segface_edge.errors import DataError
from segface_edge.labels import IGNORED, LabelSet
from segface_edge.pictures.formats import DAMAGED, open_picture
from segface_edge.pictures.geometry import FaceBox, UInt8Array
from segface_edge.pictures.label_maps import read_ids
from segface_edge.pictures.landmarks import Points
from segface_edge.pictures.reading import LARGEST_MAX_PIXELS, load


class UnknownIdError(DataError):
    """A label map with an id that its order does not have."""


@dataclass(frozen=True)
class Sample:
    """A photo and its label map, as files.

    Attributes:
        image: the photo.
        labels: the label map; what messages name.
        landmarks: (x, y) in the photo's pixels, points as the layout has them: LaPa the five that SegFace aligns
            faces with (eye, eye, nose, two corners of the mouth), Helen 68; None where it has none.
        box: the part of the photo that the data set's protocol shows; it may reach beyond the photo. None: all of it.
    """

    image: Path
    labels: Path
    landmarks: Points | None = None
    box: FaceBox | None = None

    @property
    def name(self) -> str:
        """The photo's file name without its suffix."""
        return self.image.stem

    def read(self, order: LabelSet) -> tuple[UInt8Array, UInt8Array]:
        """The photo, (H, W, 3) uint8 RGB, and its label map, (h, w) uint8 ids in `order`.

        Raises:
            ImageError, DataError: one cannot be read, or they cannot be of the same picture.
        """
        photo, labels = load(self.image), self.read_labels(order)
        (height, width), (rows, columns) = photo.shape[:2], labels.shape
        if not same_proportions((height, width), (rows, columns)):
            raise DataError(
                self.labels,
                f"is {columns} x {rows}, its upright photo {width} x {height}",
                "turn or crop one as the other is",
            )
        return photo, labels

    def read_labels(self, order: LabelSet) -> UInt8Array:
        """The label map, (H, W) uint8 ids in `order`; see `read_labels`."""
        return read_labels(self.labels, order)

    def present(self, order: LabelSet) -> set[int]:
        """The ids in the label map, 255 left out. Raises DataError as `read_labels` does."""
        return set(np.flatnonzero(np.bincount(self.read_labels(order).reshape(-1), minlength=256)[:IGNORED]).tolist())


def read_labels(path: Path, order: LabelSet) -> UInt8Array:
    """A label map as (H, W) uint8 ids: an indexed or grey PNG, see `read_ids`. 255 means ignored.

    Raises:
        DataError: it cannot be read, is not one channel of ids, or (UnknownIdError) has ids outside `order`.
    """
    labels, bits = read_ids(path)
    outside = np.flatnonzero(np.bincount(labels.reshape(-1), minlength=256)[len(order) : IGNORED])
    if len(outside):
        first = int(outside[0]) + len(order)
        cure = "name the order of the labels on disk: --label-order"
        if bits < 8 and first == (1 << bits) - 1:
            cure = f"write it with 8 bits: its {bits} have no room for {IGNORED} (ignored), which becomes {first}"
        raise UnknownIdError(path, f"has the id {first}, the label order '{order.name}' ends at {len(order) - 1}", cure)
    return labels


def same_proportions(photo: tuple[int, int], labels: tuple[int, int]) -> bool:
    """Whether (height, width) of an upright photo and of a label map can be of the same picture at two scales."""
    (height, width), (rows, columns) = photo, labels
    # Each side is rounded to whole pixels.
    return abs(height * columns - width * rows) <= max(height + width, rows + columns)


def read_picture(
    path: Path, modes: tuple[str, ...], what: str, of: str, cure: str, *, convert: str | None = None
) -> UInt8Array:
    """A picture of one of `modes` as (H, W) uint8: what it stores, or what `convert` makes of it."""
    try:
        with open_picture(path.read_bytes()) as picture:
            if picture.width * picture.height > LARGEST_MAX_PIXELS:
                raise DataError(path, f"has over {LARGEST_MAX_PIXELS} pixels", "scale it down")
            if picture.mode not in modes:
                raise DataError(path, f"is a picture of mode {picture.mode}, not of {of}", cure)
            return np.array(picture if convert is None else picture.convert(convert), np.uint8)
    except DAMAGED as error:
        raise DataError(path, f"is not a {what} that can be read", cure) from error
