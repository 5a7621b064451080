"""folder: images/NAME.jpg and labels/NAME.png, perhaps below train/, val/, test/."""

from __future__ import annotations

import os
from pathlib import Path

from segface_edge.datasets.samples import Sample
from segface_edge.errors import DataError
from segface_edge.pictures.formats import pictures_among

from .base import Layout, Listing, base_of, files_in, placed


def read_folder(root: Path, split: str | None) -> Listing:
    """A split's files, by name. Raises DataError: a folder is absent or empty."""
    base = base_of(root, split)
    images, labels = base / "images", base / "labels"
    for part in (images, labels):
        if not part.is_dir():
            raise DataError(base, f"has no folder '{part.name}'", "lay it out as images/NAME.jpg and labels/NAME.png")
    photos = pictures_among(images, files_in(images))
    maps = set(files_in(labels))
    listing = Listing()
    seen: dict[str, str] = {}
    for photo in photos:
        stem = os.path.splitext(photo)[0]  # noqa: PTH122 - fast
        if stem in seen:
            cure = "rename one of them: both would have one label map"
            listing.found("name", DataError(images / photo, f"has the name of {seen[stem]}", cure))
            continue
        seen[stem] = photo
        if f"{stem}.png" in maps:
            listing.samples.append(Sample(images / photo, labels / f"{stem}.png"))
        else:
            listing.lacks(labels / f"{stem}.png", "add the label maps or remove the photos")
    listing.spare = [labels / name for name in sorted(maps) if name.endswith(".png") and name[:-4] not in seen]
    return listing


LAYOUT = Layout(
    files="images/NAME.jpg and labels/NAME.png, perhaps in train/, val/ and test/",
    lies_in=lambda root: bool(placed("images", "labels")(root)),
    splits=placed("images", "labels"),
    read=read_folder,
)
