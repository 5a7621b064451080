"""lapa: {train,val,test}/{images,labels,landmarks}."""

from __future__ import annotations

from pathlib import Path

from segface_edge.datasets.samples import Points, Sample
from segface_edge.errors import DataError

from .base import Layout, Listing, base_of, files_in, lines_of, number_in, placed
from .folder import read_folder

FILES = "{train,val,test}/{images/NAME.jpg,labels/NAME.png,landmarks/NAME.txt}"
# 106 points -> the five that SegFace aligns faces with: each is the mean of these.
POINTS = 106
FIVE = ((74, 104), (83, 105), (54,), (84,), (90,))


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
            listing.samples.append(Sample(sample.image, sample.labels, _five(path)))
        except DataError as error:
            listing.found("landmarks", error)
    return listing


def _five(path: Path) -> Points:
    """The five points of a file with 106: the first line their number, then x and y of each."""
    cure = f"it takes {POINTS} on the first line, then {POINTS} lines of x and y"
    lines = lines_of(path, cure)
    if not lines or lines[0].strip() != str(POINTS):
        raise DataError(path, f"line 1 is not {POINTS}", cure)
    points: list[tuple[float, float]] = []
    for number, line in enumerate(lines[1:], 2):
        words = line.split()
        if not words:
            continue
        values = [number_in(word) for word in words]
        if len(values) != 2 or values[0] is None or values[1] is None:
            raise DataError(path, f"line {number} is not x and y", cure)
        points.append((values[0], values[1]))
    if len(points) != POINTS:
        raise DataError(path, f"has {len(points)} points", cure)
    return tuple(
        (
            sum(points[i][0] for i in members) / len(members),
            sum(points[i][1] for i in members) / len(members),
        )
        for members in FIVE
    )


LAYOUT = Layout(
    files=FILES,
    lies_in=lambda root: bool(placed("landmarks")(root)),
    splits=placed("landmarks", "images"),
    read=_read,
    order="lapa",
)
