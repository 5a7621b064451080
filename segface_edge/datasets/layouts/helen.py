"""helen: {train,test}/{NAME_image.jpg,NAME_label.png}, landmarks.txt."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from segface_edge.datasets.samples import Sample
from segface_edge.errors import DataError
from segface_edge.files import lines_of, number_in
from segface_edge.pictures.geometry import FaceBox
from segface_edge.pictures.landmarks import Points

from .base import SPLITS, Layout, Listing, base_of, files_in

PHOTO, LABELS, POINTS = "_image.jpg", "_label.png", 68
# The file's points are of photos twice as large. SegFace shows a square of so many of their longer extent.
_SCALE, _BOX = 0.5, 1.2
FILES = "{train,test}/{NAME_image.jpg,NAME_label.png}, landmarks.txt"


def _splits(root: Path) -> tuple[str | None, ...]:
    return tuple(s for s in (None, *SPLITS) if _lies_in(base_of(root, s)))


def _lies_in(place: Path) -> bool:
    if not place.is_dir():
        return False
    with os.scandir(place) as entries:
        return any(entry.name.endswith((PHOTO, LABELS)) for entry in entries)


def _read(root: Path, split: str | None) -> Listing:
    base = base_of(root, split)
    names = set(files_in(base))
    photos = sorted(name.removesuffix(PHOTO) for name in names if name.endswith(PHOTO))
    if not photos:
        raise DataError(base, f"holds no NAME{PHOTO}", f"it takes {FILES}")
    places = [place / "landmarks.txt" for place in (base, root)]
    listing = Listing()
    landmarks = next((_landmarks(place, listing) for place in places if place.is_file()), {})
    for name in photos:
        labels = base / f"{name}{LABELS}"
        if labels.name in names:
            points = landmarks.get(name)
            listing.samples.append(Sample(base / f"{name}{PHOTO}", labels, points, _box(points)))
        else:
            listing.lacks(labels, "add the label maps or remove the photos")
    listing.spare = [
        base / name
        for name in sorted(names)
        if name.endswith(LABELS) and f"{name.removesuffix(LABELS)}{PHOTO}" not in names
    ]
    return listing


def _landmarks(path: Path, listing: Listing) -> Mapping[str, Points]:
    """{name: 68 points} of lines with 136 numbers, x and y of each point, and the photo's name.

    What is wrong with a line goes into `listing`.
    """
    cure = f"each line takes {2 * POINTS} numbers and the photo's name"
    found: dict[str, Points] = {}
    for number, line in enumerate(lines_of(path, cure), 1):
        words = line.split()
        if not words:
            continue
        values = [value for word in words[:-1] if (value := number_in(word)) is not None]
        if len(values) != 2 * POINTS or len(words) != len(values) + 1:
            listing.found("landmarks", DataError(path, f"line {number} is not {2 * POINTS} numbers and a name", cure))
            continue
        name = words[-1].rpartition("/")[2].removesuffix(".jpg").removesuffix("_image")
        if name in found:
            listing.found("landmarks", DataError(path, f"line {number} names {name} again", cure))
            continue
        scaled = [_SCALE * value for value in values]
        found[name] = tuple(zip(scaled[::2], scaled[1::2], strict=True))
    return found


def _box(points: Points | None) -> FaceBox | None:
    """What the network is shown of a face; None where there are no points, or all are one."""
    if points is None:
        return None
    (left, top), (right, bottom) = ([edge(axis) for axis in zip(*points, strict=True)] for edge in (min, max))
    half = _BOX * max(right - left, bottom - top) / 2
    x, y = (left + right) / 2, (top + bottom) / 2
    return FaceBox(left=x - half, top=y - half, right=x + half, bottom=y + half) if half else None


LAYOUT = Layout(files=FILES, lies_in=lambda root: bool(_splits(root)), splits=_splits, read=_read, order="helen")
