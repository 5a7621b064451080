"""helen: {train,test}/{NAME_image.jpg,NAME_label.png}, landmarks.txt."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from segface_edge.datasets.samples import Points, Sample
from segface_edge.errors import DataError

from .base import SPLITS, Layout, Listing, base_of, files_in, lines_of, number_in

PHOTO, LABELS, POINTS = "_image.jpg", "_label.png", 68
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
            listing.samples.append(Sample(base / f"{name}{PHOTO}", labels, landmarks.get(name)))
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
        found[name] = tuple(zip(values[::2], values[1::2], strict=True))
    return found


LAYOUT = Layout(files=FILES, lies_in=lambda root: bool(_splits(root)), splits=_splits, read=_read, order="helen")
