"""celebamask-hq: CelebAMask-HQ as it is distributed, one mask per part."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from segface_edge.datasets.samples import Sample, read_picture
from segface_edge.errors import DataError
from segface_edge.files import count_in, lines_of
from segface_edge.labels import LabelSet, label_set
from segface_edge.pictures.geometry import UInt8Array

from .base import SPLITS, Layout, Listing, files_in

_SEGFACE = label_set("segface")
# The masks are painted in this order, later ones on top (SegFace's preparation of the set).
PARTS = _SEGFACE.classes[1:]
PHOTOS, MASKS, MASKS_A_FOLDER = "CelebA-HQ-img", "CelebAMask-HQ-mask-anno", 2000
MAPPING, PARTITION = "CelebA-HQ-to-CelebA-mapping.txt", "list_eval_partition.txt"
FILES = f"{PHOTOS}/I.jpg, {MASKS}/FOLDER/IIIII_PART.png, {MAPPING}, {PARTITION} (without the last: one split)"


@dataclass(frozen=True)
class PartsSample(Sample):
    """A photo with one binary mask per part (CelebAMask-HQ); `labels` is their common pattern, `00012_*.png`.

    Attributes:
        parts: the parts that have a mask, in the order of painting.
    """

    parts: tuple[str, ...] = ()

    def read_labels(self, order: LabelSet) -> UInt8Array:
        """The masks painted over each other, (H, W) uint8 ids in `order`, whichever order that is.

        Raises:
            DataError: a mask cannot be read, or differs from the others in size.
        """
        table = _SEGFACE.table_to(order)
        painted: UInt8Array | None = None
        for part in self.parts:
            path = self.labels.with_name(self.labels.name.replace("*", part))
            mask = _read_mask(path)
            if painted is None:
                painted = np.zeros(mask.shape, np.uint8)
            if mask.shape != painted.shape:
                (rows, columns), (height, width) = mask.shape, painted.shape
                raise DataError(
                    path,
                    f"is {columns} x {rows}, the mask of '{self.parts[0]}' {width} x {height}",
                    "save all masks of a photo at one size",
                )
            painted[mask] = table[_SEGFACE.index(part)]
        if painted is None:
            raise DataError(self.labels, "no such file", "add the masks or remove the photo")
        return painted

    def present(self, order: LabelSet) -> set[int]:
        """The ids of the parts that have a mask, and background: nothing is read.

        A part that others cover whole counts as present.
        """
        table = _SEGFACE.table_to(order)
        return {0, *(int(table[_SEGFACE.index(part)]) for part in self.parts)}


def _lies_in(root: Path) -> bool:
    return (root / PHOTOS).is_dir() or (root / MASKS).is_dir()


def _splits(root: Path) -> tuple[str | None, ...]:
    """Those of CelebA's partition; the whole where its list is not there, or divides nothing."""
    if not (root / PARTITION).exists():
        return (None,)
    present = set(_partition(root, Listing()).values())
    # Where no line can be used, `_read` says what is wrong with them.
    return tuple(split for split in SPLITS if split in present) or SPLITS[:1]


def _partition(root: Path, listing: Listing) -> dict[int, str]:
    """{photo number: split}, from CelebA's own partition by way of the mapping.

    What is wrong with a line goes into `listing`.

    Raises:
        DataError: a file is missing or holds nothing.
    """
    partition = root / PARTITION
    cure = f"copy {PARTITION} from CelebA (folder Eval): lines of FILE and 0, 1 or 2"
    split_of: dict[str, str] = {}
    for number, line in enumerate(lines_of(partition, cure), 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2 or words[1] not in ("0", "1", "2"):
            listing.found("list", DataError(partition, f"line {number} is not a file name and 0, 1 or 2", cure))
            continue
        split_of[words[0]] = SPLITS[int(words[1])]
    mapping = root / MAPPING
    cure = f"copy {MAPPING} from CelebAMask-HQ: a header, then lines of idx, orig_idx and orig_file"
    found: dict[int, str] = {}
    lines = lines_of(mapping, f"{cure}; or take {PARTITION} away, to use the set as one split")
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or (number == 1 and words[0] == "idx"):
            continue
        if len(words) != 3 or count_in(words[0]) is None or count_in(words[1]) is None:
            listing.found("list", DataError(mapping, f"line {number} is not idx, orig_idx and orig_file", cure))
        elif (photo := int(words[0])) in found:
            listing.found("list", DataError(mapping, f"line {number} names photo {photo} again", cure))
        elif words[2] not in split_of:
            problem = f"line {number} names {words[2]}, which {PARTITION} does not"
            listing.found("list", DataError(mapping, problem, cure))
        else:
            found[photo] = split_of[words[2]]
    if not found and not listing.faults:
        raise DataError(mapping, "names no photo", cure)
    return found


def _masks(root: Path, listing: Listing) -> dict[int, list[str]]:
    """{photo number: its parts in the order of painting}; what is wrong with a name goes into `listing`."""
    found: dict[int, list[str]] = {}
    masks = root / MASKS
    try:
        with os.scandir(masks) as entries:
            places = sorted((entry.name for entry in entries if entry.is_dir() and entry.name.isdecimal()), key=int)
    except OSError as error:
        raise DataError(root, f"has no folder '{MASKS}'", f"it takes {FILES}") from error
    rank = {part: i for i, part in enumerate(PARTS)}
    for place in places:
        for name in files_in(masks / place):
            if not name.endswith(".png"):
                continue
            path = masks / place / name
            digits, _, part = name[:-4].partition("_")
            if not digits.isdecimal() or part not in rank:
                cure = f"parts are {', '.join(PARTS)}; rename it"
                listing.found("name", DataError(path, "is not named NUMBER_PART.png", cure))
            elif path != (belongs := _mask(root, int(digits), part)):
                cure = f"move it to {belongs.relative_to(root)}"
                listing.found("name", DataError(path, "is not where its number belongs", cure))
            else:
                found.setdefault(int(digits), []).append(part)
    for parts in found.values():
        parts.sort(key=rank.__getitem__)
    return found


def _mask(root: Path, photo: int, part: str) -> Path:
    return root / MASKS / str(photo // MASKS_A_FOLDER) / f"{photo:05d}_{part}.png"


def _read(root: Path, split: str | None) -> Listing:
    if not (root / PHOTOS).is_dir():
        raise DataError(root, f"has no folder '{PHOTOS}'", f"it takes {FILES}")
    photos = set(files_in(root / PHOTOS))
    listing = Listing()
    masks = _masks(root, listing)
    numbers = {int(name[:-4]) for name in photos if name.endswith(".jpg") and name[:-4].isdecimal()}
    if split is None:
        # No list says what is in the set: it is what lies there.
        partition: dict[int, str | None] = dict.fromkeys(numbers | set(masks))
        where = "the photo"
    else:
        partition = dict(_partition(root, listing))
        where = f"the photo, or take its line out of {MAPPING}"
    for photo in sorted(number for number, its in partition.items() if its == split):
        image = root / PHOTOS / f"{photo}.jpg"
        if image.name not in photos:
            listing.lacks(image, f"add {where}")
        elif photo not in masks:
            listing.lacks(_mask(root, photo, "skin"), f"add the photo's masks, or remove {where}")
        else:
            listing.samples.append(PartsSample(image, _mask(root, photo, "*"), parts=tuple(masks[photo])))
    named = {f"{photo}.jpg" for photo in partition}
    # They are in no split: say so with the first of them.
    if split == _splits(root)[0]:
        listing.spare = [root / PHOTOS / name for name in sorted(photos - named) if name.endswith(".jpg")]
        listing.spare += [_mask(root, photo, "*") for photo in sorted(masks) if photo not in partition]
    return listing


def _read_mask(path: Path) -> npt.NDArray[np.bool_]:
    """A binary mask, (H, W) bool: what is not black. The set's own are grey or RGB."""
    mask: npt.NDArray[np.bool_] = (
        read_picture(path, ("L", "1", "P", "RGB"), "mask", "a mask", "extract it again", convert="L") > 0
    )
    return mask


LAYOUT = Layout(
    files=FILES,
    lies_in=_lies_in,
    splits=_splits,
    read=_read,
    order="segface",
    divided_by=f"{PARTITION}, of CelebA (folder Eval)",
)
