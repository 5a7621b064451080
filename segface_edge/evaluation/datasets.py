"""Data sets on disk: photos with label maps, in the layouts that face parsing knows.

`open_dataset` recognises the layout from what lies there (`LAYOUTS`). Folders are listed once and text files read;
photos and label maps are opened when they are used.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from segface_edge.errors import DataError, UsageError
from segface_edge.imaging import LARGEST_MAX_PIXELS, UInt8Array
from segface_edge.labels import LabelSet, label_set
from segface_edge.sources import SUFFIXES

from .histogram import IGNORED

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Points = tuple[tuple[float, float], ...]

SPLITS = ("train", "val", "test")
SETTINGS = "dataset.toml"
_SEGFACE = label_set("segface")
# CelebAMask-HQ's masks are painted in this order, later ones on top (SegFace's preparation of the set).
PARTS = _SEGFACE.classes[1:]
_HQ_PHOTOS, _HQ_MASKS, _HQ_MASKS_A_FOLDER = "CelebA-HQ-img", "CelebAMask-HQ-mask-anno", 2000
_HQ_MAPPING, _HQ_PARTITION = "CelebA-HQ-to-CelebA-mapping.txt", "list_eval_partition.txt"
# LaPa's 106 points -> the five that SegFace aligns faces with: each is the mean of these.
_LAPA_POINTS = 106
_LAPA_FIVE = ((74, 104), (83, 105), (54,), (84,), (90,))
_HELEN_PHOTO, _HELEN_LABELS, _HELEN_POINTS = "_image.jpg", "_label.png", 68


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
    """

    image: Path
    labels: Path
    landmarks: Points | None = None

    @property
    def name(self) -> str:
        """The photo's file name without its suffix."""
        return self.image.stem

    def read_labels(self, order: LabelSet) -> UInt8Array:
        """The label map, (H, W) uint8 ids in `order`; see `read_labels`."""
        return read_labels(self.labels, order)

    def present(self, order: LabelSet) -> set[int]:
        """The ids in the label map, 255 left out. Raises DataError as `read_labels` does."""
        return set(np.flatnonzero(np.bincount(self.read_labels(order).reshape(-1), minlength=256)[:IGNORED]).tolist())


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


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that keeps a photo out of a data set.

    Attributes:
        kind: `missing`: a file that should be there; `landmarks`: points that cannot be read.
        error: file, problem and cure.
    """

    kind: str
    error: DataError


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """Photos with label maps.

    Attributes:
        root: the folder that was opened.
        layout: key of `LAYOUTS`.
        split: `train`, `val` or `test`; None where the set is not divided.
        order: of the ids that `Sample.read_labels(order)` gives.
        samples: sorted by name.
        faults: photos that are left out; none where it was opened with `strict`.
        spare: files without their partner, which do no harm: label maps without a photo.
    """

    root: Path
    layout: str
    split: str | None
    order: LabelSet
    samples: tuple[Sample, ...]
    faults: tuple[Fault, ...] = ()
    spare: tuple[Path, ...] = ()


@dataclass(kw_only=True)
class _Listing:
    """What a reader finds."""

    samples: list[Sample] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    spare: list[Path] = field(default_factory=list)

    def lacks(self, path: Path, cure: str) -> None:
        self.faults.append(Fault(kind="missing", error=DataError(path, "no such file", cure)))


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A way to lay out a data set.

    Attributes:
        files: what lies where, for messages.
        lies_in: whether a folder looks like it.
        splits: the splits in such a folder; None stands for the undivided whole.
        read: a split's files.
        order: the order that the layout prescribes; None where `dataset.toml` or the caller names it.
    """

    files: str
    lies_in: Callable[[Path], bool]
    splits: Callable[[Path], tuple[str | None, ...]]
    read: Callable[[Path, str | None], _Listing]
    order: str | None = None


def open_dataset(
    root: Path,
    *,
    split: str | None = None,
    order: LabelSet | None = None,
    layout: str | None = None,
    default: LabelSet | None = None,
    strict: bool = True,
) -> DataSet:
    """Opens a labelled data set.

    Args:
        root: its folder.
        split: `train`, `val` or `test`; None is the only one, or the whole of a set that is not divided.
        order: of the ids on disk, whatever the set says (CelebAMask-HQ's own layout, which has no ids, gives labels
            in it).
        layout: key of `LAYOUTS`; None finds out.
        default: the order where neither `order` nor the data set names one.
        strict: raise what is wrong with a file's place or points; otherwise list it in `DataSet.faults`.

    Raises:
        DataError: not a layout or split that lies there, no order named, files missing, a text file malformed.
        UsageError: `layout` is unknown.
    """
    kind = _recognise(root, layout)
    there = LAYOUTS[kind].splits(root)
    if split is None and None not in there and len(there) != 1:
        raise DataError(
            root,
            f"has the splits {_names(there)}",
            "name one of them: --split (in a recipe data.train_split, data.val_split)",
        )
    if split is not None and split not in there:
        known = _names(there)
        raise DataError(
            root, f"has no split '{split}'", f"use one of: {known}" if known else "leave the split out: it is undivided"
        )
    chosen = split if split is not None or None in there else there[0]
    listing = LAYOUTS[kind].read(root, chosen)
    if strict and listing.faults:
        _raise_first(listing)
    return DataSet(
        root=root,
        layout=kind,
        split=chosen,
        order=order or _own_order(root, kind, chosen) or default or _no_order(root),
        samples=tuple(listing.samples),
        faults=tuple(listing.faults),
        spare=tuple(listing.spare),
    )


def open_splits(
    root: Path,
    *,
    split: str | None = None,
    order: LabelSet | None = None,
    layout: str | None = None,
    strict: bool = True,
) -> list[DataSet]:
    """Every split of a data set, or the one that is named; arguments and errors as of `open_dataset`."""
    kind = _recognise(root, layout)
    names = LAYOUTS[kind].splits(root) if split is None else (split,)
    return [open_dataset(root, split=name, order=order, layout=kind, strict=strict) for name in names]


def folder(root: Path) -> list[Sample]:
    """A folder with `images/NAME.jpg` (or another picture suffix) and `labels/NAME.png`, sorted by name.

    Raises:
        DataError: a folder is absent or empty, or a photo has no label map.
    """
    listing = _read_folder(root, None)
    if listing.faults:
        _raise_first(listing)
    return listing.samples


def read_labels(path: Path, order: LabelSet) -> UInt8Array:
    """A label map as (H, W) uint8 ids: an indexed or 8-bit grey PNG. 255 means ignored.

    Raises:
        DataError: it cannot be read, is not one channel of ids, or (UnknownIdError) has ids outside `order`.
    """
    labels = _read_picture(path, ("P", "L"), "label map", "label ids", "save ids as 8-bit PNG")
    outside = np.flatnonzero(np.bincount(labels.reshape(-1), minlength=256)[len(order) : IGNORED])
    if len(outside):
        raise UnknownIdError(
            path,
            f"has the id {outside[0] + len(order)}, the label order '{order.name}' ends at {len(order) - 1}",
            "name the order of the labels on disk: --label-order",
        )
    return labels


def same_frame(photo: tuple[int, int], labels: tuple[int, int]) -> bool:
    """Whether (height, width) of an upright photo and of a label map can be of the same frame at two scales."""
    (height, width), (rows, columns) = photo, labels
    # Each side is rounded to whole pixels.
    return abs(height * columns - width * rows) <= max(height + width, rows + columns)


def check_frame(sample: Sample, photo: UInt8Array, labels: UInt8Array) -> None:
    """Raises DataError where a sample's upright photo (H, W, 3) and its label map cannot be of the same frame."""
    (height, width), (rows, columns) = photo.shape[:2], labels.shape[:2]
    if not same_frame((height, width), (rows, columns)):
        raise DataError(
            sample.labels,
            f"is {columns} x {rows}, its upright photo {width} x {height}",
            "turn or crop one as the other is",
        )


def _recognise(root: Path, layout: str | None) -> str:
    """The key of the layout in `root`."""
    if layout is not None and layout not in LAYOUTS:
        raise UsageError(f"layout {layout!r}", "is unknown", f"use one of: {', '.join(LAYOUTS)}")
    if not root.is_dir():
        raise DataError(root, "no such folder", "give the folder of a labelled data set")
    if layout is not None:
        if not LAYOUTS[layout].lies_in(root):
            raise DataError(root, f"is not laid out as '{layout}'", f"it takes {LAYOUTS[layout].files}")
        return layout
    found = next((name for name, known in LAYOUTS.items() if known.lies_in(root)), None)
    if found is None:
        known = "; ".join(f"{name}: {known.files}" for name, known in LAYOUTS.items())
        raise DataError(root, "is of no known layout", f"lay it out as one of these. {known}")
    return found


def _names(splits: Iterable[str | None]) -> str:
    return ", ".join(name for name in splits if name)


def _raise_first(listing: _Listing) -> None:
    """Raises the first fault, with how many there are of its kind."""
    first = listing.faults[0]
    alike = sum(fault.kind == first.kind for fault in listing.faults)
    what = "have no label map" if first.kind == "missing" else "have points that cannot be read"
    if first.kind == "missing" and Path(first.error.subject).suffix != ".png":
        what = "lack a file"
    counted = f" ({alike} of {len(listing.samples) + len(listing.faults)} photos {what})"
    raise DataError(first.error.subject, first.error.problem + counted, first.error.cure) from first.error


def _own_order(root: Path, layout: str, split: str | None) -> LabelSet | None:
    """The order that the layout prescribes or `dataset.toml` names; the file nearest to the photos counts."""
    prescribed = LAYOUTS[layout].order
    if prescribed is not None:
        return label_set(prescribed)
    for place in dict.fromkeys((_base(root, split), root)):
        if (place / SETTINGS).is_file():
            return _settings_order(place / SETTINGS)
    return None


def _no_order(root: Path) -> LabelSet:
    raise DataError(
        root,
        "does not say in which order its labels are",
        f'name it: --label-order (in a recipe data.label_order), or label_order = "NAME" in its {SETTINGS}',
    )


def _settings_order(path: Path) -> LabelSet | None:
    """`label_order` of a `dataset.toml`, None where it names none."""
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(path, f"cannot be read ({error})", 'write it in TOML: label_order = "NAME"') from error
    unknown = [key for key in settings if key != "label_order"]
    if unknown:
        raise DataError(path, f"has the unknown key '{unknown[0]}'", "use: label_order")
    name = settings.get("label_order")
    if name is None:
        return None
    if not isinstance(name, str):
        raise DataError(path, f"label_order = {name!r} is not a name", "write it in quotes")
    try:
        return label_set(name)
    except UsageError as error:
        raise DataError(path, f"{error.subject} {error.problem}", error.cure) from error


def _base(root: Path, split: str | None) -> Path:
    return root if split is None else root / split


def _files(place: Path) -> list[str]:
    """Names of the files in a folder, sorted, hidden ones (`._photo.jpg` of a Mac) left out.

    Raises:
        DataError: no such folder.
    """
    try:
        with os.scandir(place) as entries:
            return sorted(entry.name for entry in entries if entry.name[0] != "." and not entry.is_dir())
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(place, f"cannot be listed ({reason})", "check the data set's layout") from error


def _lines(path: Path, cure: str) -> list[str]:
    """Lines of a text file."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else "is not a text file that can be read"
        raise DataError(path, reason, cure) from error


def _number(text: str) -> float | None:
    """A finite number, or None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


# folder: images/NAME.jpg and labels/NAME.png, perhaps below train/, val/, test/.


def _placed(*parts: str) -> Callable[[Path], tuple[str | None, ...]]:
    """Finds the splits that hold a folder of one of the names `parts`."""

    def splits(root: Path) -> tuple[str | None, ...]:
        return tuple(s for s in (None, *SPLITS) if any((_base(root, s) / part).is_dir() for part in parts))

    return splits


def _read_folder(root: Path, split: str | None) -> _Listing:
    base = _base(root, split)
    images, labels = base / "images", base / "labels"
    for part in (images, labels):
        if not part.is_dir():
            raise DataError(base, f"has no folder '{part.name}'", "lay it out as images/NAME.jpg and labels/NAME.png")
    photos = [name for name in _files(images) if os.path.splitext(name)[1].lower() in SUFFIXES]  # noqa: PTH122 - fast
    if not photos:
        raise DataError(images, "holds no pictures", f"give a folder with {', '.join(SUFFIXES)} files")
    maps = set(_files(labels))
    listing = _Listing()
    seen: dict[str, str] = {}
    for photo in photos:
        stem = os.path.splitext(photo)[0]  # noqa: PTH122
        if stem in seen:
            raise DataError(
                images / photo, f"has the name of {seen[stem]}", "rename one of them: both would have one label map"
            )
        seen[stem] = photo
        if f"{stem}.png" in maps:
            listing.samples.append(Sample(images / photo, labels / f"{stem}.png"))
        else:
            listing.lacks(labels / f"{stem}.png", "add the label maps or remove the photos")
    listing.spare = [labels / name for name in sorted(maps) if name.endswith(".png") and name[:-4] not in seen]
    return listing


# celebamask-hq: as it is distributed.


def _hq_lies_in(root: Path) -> bool:
    return (root / _HQ_PHOTOS).is_dir() or (root / _HQ_MASKS).is_dir()


def _hq_splits(root: Path) -> tuple[str | None, ...]:
    present = set(_hq_partition(root).values())
    return tuple(split for split in SPLITS if split in present)


def _hq_partition(root: Path) -> dict[int, str]:
    """{photo number: split}, from CelebA's own partition by way of the mapping.

    Raises:
        DataError: a file is missing or has a line that is not as it should be.
    """
    partition = root / _HQ_PARTITION
    cure = f"copy {_HQ_PARTITION} from CelebA (folder Eval): lines of FILE and 0, 1 or 2"
    split_of: dict[str, str] = {}
    for number, line in enumerate(_lines(partition, cure), 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2 or words[1] not in ("0", "1", "2"):
            raise DataError(partition, f"line {number} is not a file name and 0, 1 or 2", cure)
        split_of[words[0]] = SPLITS[int(words[1])]
    mapping = root / _HQ_MAPPING
    cure = f"copy {_HQ_MAPPING} from CelebAMask-HQ: a header, then lines of idx, orig_idx and orig_file"
    found: dict[int, str] = {}
    for number, line in enumerate(_lines(mapping, cure), 1):
        words = line.split()
        if not words or (number == 1 and words[0] == "idx"):
            continue
        if len(words) != 3 or not words[0].isdecimal() or not words[1].isdecimal():
            raise DataError(mapping, f"line {number} is not idx, orig_idx and orig_file", cure)
        photo = int(words[0])
        if photo in found:
            raise DataError(mapping, f"line {number} names photo {photo} again", cure)
        if words[2] not in split_of:
            raise DataError(mapping, f"line {number} names {words[2]}, which {_HQ_PARTITION} does not", cure)
        found[photo] = split_of[words[2]]
    if not found:
        raise DataError(mapping, "names no photo", cure)
    return found


def _hq_masks(root: Path) -> dict[int, list[str]]:
    """{photo number: its parts in the order of painting}."""
    found: dict[int, list[str]] = {}
    masks = root / _HQ_MASKS
    try:
        with os.scandir(masks) as entries:
            places = sorted((entry.name for entry in entries if entry.is_dir() and entry.name.isdecimal()), key=int)
    except OSError as error:
        raise DataError(root, f"has no folder '{_HQ_MASKS}'", f"it takes {LAYOUTS['celebamask-hq'].files}") from error
    rank = {part: i for i, part in enumerate(PARTS)}
    for place in places:
        for name in _files(masks / place):
            if not name.endswith(".png"):
                continue
            digits, _, part = name[:-4].partition("_")
            if not digits.isdecimal() or part not in rank:
                raise DataError(
                    masks / place / name, "is not named NUMBER_PART.png", f"parts are {', '.join(PARTS)}; rename it"
                )
            if int(digits) // _HQ_MASKS_A_FOLDER != int(place) or digits != f"{int(digits):05d}":
                raise DataError(
                    masks / place / name,
                    "is not where its number belongs",
                    f"move it to {_hq_mask(root, int(digits), part).relative_to(root)}",
                )
            found.setdefault(int(digits), []).append(part)
    for parts in found.values():
        parts.sort(key=rank.__getitem__)
    return found


def _hq_mask(root: Path, photo: int, part: str) -> Path:
    return root / _HQ_MASKS / str(photo // _HQ_MASKS_A_FOLDER) / f"{photo:05d}_{part}.png"


def _read_hq(root: Path, split: str | None) -> _Listing:
    if not (root / _HQ_PHOTOS).is_dir():
        raise DataError(root, f"has no folder '{_HQ_PHOTOS}'", f"it takes {LAYOUTS['celebamask-hq'].files}")
    photos = set(_files(root / _HQ_PHOTOS))
    masks = _hq_masks(root)
    partition = _hq_partition(root)
    listing = _Listing()
    for photo in sorted(number for number, its in partition.items() if its == split):
        image = root / _HQ_PHOTOS / f"{photo}.jpg"
        if image.name not in photos:
            listing.lacks(image, f"add the photo, or take its line out of {_HQ_MAPPING}")
        elif photo not in masks:
            listing.lacks(_hq_mask(root, photo, "skin"), "add the photo's masks, or remove the photo and its line")
        else:
            listing.samples.append(PartsSample(image, _hq_mask(root, photo, "*"), parts=tuple(masks[photo])))
    named = {f"{photo}.jpg" for photo in partition}
    # They are in no split: say so with the first of them.
    if split == _hq_splits(root)[0]:
        listing.spare = [root / _HQ_PHOTOS / name for name in sorted(photos - named) if name.endswith(".jpg")]
        listing.spare += [_hq_mask(root, photo, "*") for photo in sorted(masks) if photo not in partition]
    return listing


def _read_mask(path: Path) -> npt.NDArray[np.bool_]:
    """A binary mask, (H, W) bool: what is not black. The set's own are grey or RGB."""
    mask: npt.NDArray[np.bool_] = (
        _read_picture(path, ("L", "1", "P", "RGB"), "mask", "a mask", "extract it again", convert="L") > 0
    )
    return mask


# lapa: {train,val,test}/{images,labels,landmarks}.


def _read_lapa(root: Path, split: str | None) -> _Listing:
    base = _base(root, split)
    listing = _read_folder(root, split)
    if not (base / "landmarks").is_dir():
        raise DataError(base, "has no folder 'landmarks'", f"it takes {LAYOUTS['lapa'].files}")
    there = set(_files(base / "landmarks"))
    pairs, listing.samples = listing.samples, []
    for sample in pairs:
        path = base / "landmarks" / f"{sample.name}.txt"
        if path.name not in there:
            listing.lacks(path, "add the landmarks or remove the photo")
            continue
        try:
            listing.samples.append(Sample(sample.image, sample.labels, _lapa_five(path)))
        except DataError as error:
            listing.faults.append(Fault(kind="landmarks", error=error))
    return listing


def _lapa_five(path: Path) -> Points:
    """The five points of a file with 106: the first line their number, then x and y of each."""
    cure = f"it takes {_LAPA_POINTS} on the first line, then {_LAPA_POINTS} lines of x and y"
    lines = _lines(path, cure)
    if not lines or lines[0].strip() != str(_LAPA_POINTS):
        raise DataError(path, f"line 1 is not {_LAPA_POINTS}", cure)
    points: list[tuple[float, float]] = []
    for number, line in enumerate(lines[1:], 2):
        words = line.split()
        if not words:
            continue
        values = [_number(word) for word in words]
        if len(values) != 2 or values[0] is None or values[1] is None:
            raise DataError(path, f"line {number} is not x and y", cure)
        points.append((values[0], values[1]))
    if len(points) != _LAPA_POINTS:
        raise DataError(path, f"has {len(points)} points", cure)
    return tuple(
        (
            sum(points[i][0] for i in members) / len(members),
            sum(points[i][1] for i in members) / len(members),
        )
        for members in _LAPA_FIVE
    )


# helen: {train,test}/{NAME_image.jpg,NAME_label.png}, landmarks.txt.


def _helen_splits(root: Path) -> tuple[str | None, ...]:
    return tuple(s for s in (None, *SPLITS) if _helen_in(_base(root, s)))


def _helen_in(place: Path) -> bool:
    if not place.is_dir():
        return False
    with os.scandir(place) as entries:
        return any(entry.name.endswith((_HELEN_PHOTO, _HELEN_LABELS)) for entry in entries)


def _read_helen(root: Path, split: str | None) -> _Listing:
    base = _base(root, split)
    names = set(_files(base))
    photos = sorted(name.removesuffix(_HELEN_PHOTO) for name in names if name.endswith(_HELEN_PHOTO))
    if not photos:
        raise DataError(base, f"holds no NAME{_HELEN_PHOTO}", f"it takes {LAYOUTS['helen'].files}")
    places = [place / "landmarks.txt" for place in (base, root)]
    landmarks = next((_helen_landmarks(place) for place in places if place.is_file()), {})
    listing = _Listing()
    for name in photos:
        labels = base / f"{name}{_HELEN_LABELS}"
        if labels.name in names:
            listing.samples.append(Sample(base / f"{name}{_HELEN_PHOTO}", labels, landmarks.get(name)))
        else:
            listing.lacks(labels, "add the label maps or remove the photos")
    listing.spare = [
        base / name
        for name in sorted(names)
        if name.endswith(_HELEN_LABELS) and f"{name.removesuffix(_HELEN_LABELS)}{_HELEN_PHOTO}" not in names
    ]
    return listing


def _helen_landmarks(path: Path) -> Mapping[str, Points]:
    """{name: 68 points} of lines with 136 numbers, x and y of each point, and the photo's name."""
    cure = f"each line takes {2 * _HELEN_POINTS} numbers and the photo's name"
    found: dict[str, Points] = {}
    for number, line in enumerate(_lines(path, cure), 1):
        words = line.split()
        if not words:
            continue
        values = [value for word in words[:-1] if (value := _number(word)) is not None]
        if len(values) != 2 * _HELEN_POINTS or len(words) != len(values) + 1:
            raise DataError(path, f"line {number} is not {2 * _HELEN_POINTS} numbers and a name", cure)
        name = words[-1].rpartition("/")[2].removesuffix(".jpg").removesuffix("_image")
        if name in found:
            raise DataError(path, f"line {number} names {name} again", cure)
        found[name] = tuple(zip(values[::2], values[1::2], strict=True))
    return found


def _read_picture(
    path: Path, modes: tuple[str, ...], what: str, of: str, cure: str, *, convert: str | None = None
) -> UInt8Array:
    """A picture of one of `modes` as (H, W) uint8: what it stores, or what `convert` makes of it."""
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > LARGEST_MAX_PIXELS:
                raise DataError(path, f"has over {LARGEST_MAX_PIXELS} pixels", "scale it down")
            if picture.mode not in modes:
                raise DataError(path, f"is a picture of mode {picture.mode}, not of {of}", cure)
            return np.array(picture if convert is None else picture.convert(convert), np.uint8)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(path, f"is not a {what} that can be read", cure) from error


# The first that fits counts: LaPa's has the folders of `folder`, and one more.
LAYOUTS: dict[str, Layout] = {
    "celebamask-hq": Layout(
        files=f"{_HQ_PHOTOS}/I.jpg, {_HQ_MASKS}/FOLDER/IIIII_PART.png, {_HQ_MAPPING}, {_HQ_PARTITION}",
        lies_in=_hq_lies_in,
        splits=_hq_splits,
        read=_read_hq,
        order="segface",
    ),
    "lapa": Layout(
        files="{train,val,test}/{images/NAME.jpg,labels/NAME.png,landmarks/NAME.txt}",
        lies_in=lambda root: bool(_placed("landmarks")(root)),
        splits=_placed("landmarks", "images"),
        read=_read_lapa,
        order="lapa",
    ),
    "helen": Layout(
        files="{train,test}/{NAME_image.jpg,NAME_label.png}, landmarks.txt",
        lies_in=lambda root: bool(_helen_splits(root)),
        splits=_helen_splits,
        read=_read_helen,
        order="helen",
    ),
    "folder": Layout(
        files="images/NAME.jpg and labels/NAME.png, perhaps in train/, val/ and test/",
        lies_in=lambda root: bool(_placed("images", "labels")(root)),
        splits=_placed("images", "labels"),
        read=_read_folder,
    ),
}
