"""Data sets on disk: photos with label maps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from segface_edge.errors import DataError
from segface_edge.imaging import LARGEST_MAX_PIXELS, UInt8Array
from segface_edge.labels import LabelSet
from segface_edge.sources import SUFFIXES


@dataclass(frozen=True)
class Sample:
    """A photo and its label map, as files."""

    image: Path
    labels: Path


def folder(root: Path) -> list[Sample]:
    """A folder with `images/NAME.jpg` (or another picture suffix) and `labels/NAME.png`, sorted by name.

    Raises:
        DataError: a folder is absent or empty, or a photo has no label map.
    """
    images, labels = root / "images", root / "labels"
    for part in (images, labels):
        if not part.is_dir():
            raise DataError(root, f"has no folder '{part.name}'", "lay it out as images/NAME.jpg and labels/NAME.png")
    photos = sorted(path for path in images.iterdir() if path.suffix.lower() in SUFFIXES)
    if not photos:
        raise DataError(images, "holds no pictures", f"give a folder with {', '.join(SUFFIXES)} files")
    samples = [Sample(photo, labels / f"{photo.stem}.png") for photo in photos]
    missing = [sample for sample in samples if not sample.labels.is_file()]
    if missing:
        raise DataError(
            missing[0].labels,
            f"no such file ({len(missing)} of {len(samples)} photos have no label map)",
            "add the label maps or remove the photos",
        )
    return samples


def read_labels(path: Path, order: LabelSet) -> UInt8Array:
    """A label map as (H, W) uint8 ids: an indexed or 8-bit grey PNG. 255 means ignored.

    Raises:
        DataError: it cannot be read, is not one channel of ids, or has ids outside `order`.
    """
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > LARGEST_MAX_PIXELS:
                raise DataError(path, f"has over {LARGEST_MAX_PIXELS} pixels", "scale it down")
            if picture.mode not in ("P", "L"):
                raise DataError(path, f"is a picture of mode {picture.mode}, not of label ids", "save ids as 8-bit PNG")
            labels = np.array(picture, np.uint8)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(path, "is not a label map that can be read", "save ids as 8-bit PNG") from error
    outside = np.flatnonzero(np.bincount(labels.reshape(-1), minlength=256)[len(order) : 255])
    if len(outside):
        raise DataError(
            path,
            f"has the id {outside[0] + len(order)}, the label order '{order.name}' ends at {len(order) - 1}",
            "name the order of the labels on disk: --label-order",
        )
    return labels
