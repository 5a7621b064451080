"""lapa: {train,val,test}/{images,labels,landmarks}."""

from __future__ import annotations

from pathlib import Path

from segface_edge.datasets.samples import Sample
from segface_edge.errors import DataError
from segface_edge.pictures.landmarks import read_landmarks

from .base import Layout, Listing, base_of, files_in, placed
from .folder import read_folder

FILES = "{train,val,test}/{images/NAME.jpg,labels/NAME.png,landmarks/NAME.txt}"
POINTS = 106


def _read(root: Path, split: str | None) -> Listing:
    base = base_of(root, split)
    listing = read_folder(root, split)
    if not (base / "landmarks").is_dir():
        raise DataError(base, "has no folder 'landmarks'", f"it takes {FILES}")
    there = set(files_in(base / "landmarks"))
    pairs, listing.samples = listing.samples, []
    for sample in pairs:
        path = base / "landmarks" / f"{sample.name}.txt"
        if path.name not in there:
            listing.lacks(path, "add the landmarks or remove the photo")
            continue
        try:
            listing.samples.append(Sample(sample.image, sample.labels, read_landmarks(path, (POINTS,))))
        except DataError as error:
            listing.found("landmarks", error)
    return listing


LAYOUT = Layout(
    files=FILES,
    lies_in=lambda root: bool(placed("landmarks")(root)),
    splits=placed("landmarks", "images"),
    read=_read,
    order="lapa",
)
