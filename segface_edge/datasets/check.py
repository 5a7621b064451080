"""A labelled data set looked at before training: what cannot be used, what is suspicious, what it holds."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from segface_edge.errors import DataError, ImageError, SegFaceEdgeError
from segface_edge.labels import IGNORED, LabelSet
from segface_edge.pictures import imaging
from segface_edge.pictures.imaging import UInt8Array

from .opening import DataSet
from .samples import Sample, UnknownIdError, same_frame

Level = Literal["fault", "warning"]
Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

WHOLE = "all"
# Kind of finding -> whether it makes training wrong, and its title.
KINDS: dict[str, tuple[Level, str]] = {
    "missing": ("fault", "files that are missing"),
    "photo": ("fault", "photos that cannot be read"),
    "labels": ("fault", "label maps that cannot be read"),
    "landmarks": ("fault", "landmarks that cannot be read"),
    "ids": ("fault", "label maps with ids outside the label order"),
    "size": ("fault", "label maps of another shape than their photo"),
    "swapped": ("fault", "label maps whose left and right look swapped"),
    "reversed": ("fault", "left and right reversed in the whole split"),
    "leak": ("fault", "near-duplicates across splits"),
    "duplicate": ("warning", "near-duplicates within a split"),
    "spare": ("warning", "files without their partner"),
}
# What tells up from down, whatever the roll of the head: these lie below the brows and eyes.
_BELOW = ("nose", "mouth", "u_lip", "l_lip")
_ABOVE = ("brow", "eye")
# Near-duplicates. Of the 336,000 pairs of the 820 photos of CelebAMask-HQ at hand no two faces correlate over 0.93;
# a photo and its copy at 3/5 the side, JPEG quality 40 and 15 % brighter do at 0.99, and differ in 4 bits at most.
THUMB = 32
MOST_BITS = 8
LEAST_CORRELATION = 0.97
_BLOCK = 512


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something about a data set.

    Attributes:
        kind: key of `KINDS`.
        split: where; `all` for a set that is not divided.
        file: what it is about.
        problem: what is wrong.
        cure: what to do about it.
        other: of near-duplicates, the photo that `file` looks like.
    """

    kind: str
    split: str
    file: Path
    problem: str
    cure: str
    other: Path | None = None

    @property
    def level(self) -> Level:
        """`fault`: do not train on it. `warning`: look at it."""
        return KINDS[self.kind][0]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "kind": self.kind,
            "split": self.split,
            "file": str(self.file),
            "problem": self.problem,
            "cure": self.cure,
            "other": None if self.other is None else str(self.other),
        }


@dataclass(frozen=True, kw_only=True)
class SplitCounts:
    """What a split holds; label maps that cannot be read are not counted.

    Attributes:
        name: `train`, `val`, `test`; `all` for a set that is not divided.
        pairs: photos with a label map.
        images: (K,) int64, label maps that show a class.
        pixels: (K,) int64.
        ignored: pixels of the id 255.
    """

    name: str
    pairs: int
    images: Counts
    pixels: Counts
    ignored: int


@dataclass(frozen=True, kw_only=True)
class Report:
    """What `check` found.

    Attributes:
        root: the data set.
        layout: key of `datasets.LAYOUTS`.
        order: of the counts.
        splits: one entry each.
        findings: in the order of `KINDS`, then of splits and names.
    """

    root: Path
    layout: str
    order: LabelSet
    splits: tuple[SplitCounts, ...]
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether there is no fault."""
        return not any(finding.level == "fault" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""

        def per_class(counts: Counts) -> dict[str, int]:
            return dict(zip(self.order.classes, counts.tolist(), strict=True))

        def found(level: Level) -> list[dict[str, Any]]:
            return [finding.to_dict() for finding in self.findings if finding.level == level]

        return {
            "root": str(self.root),
            "layout": self.layout,
            "label_order": self.order.name,
            "ok": self.ok,
            "splits": {
                split.name: {
                    "pairs": split.pairs,
                    "images": per_class(split.images),
                    "pixels": per_class(split.pixels),
                    "ignored_pixels": split.ignored,
                }
                for split in self.splits
            },
            "faults": found("fault"),
            "warnings": found("warning"),
        }


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What one sample shows.

    Attributes:
        findings: what is wrong with it.
        pixels: (256,) int64 pixels of each id; None where the label map cannot be read.
        sides: left/right pairs that show, and how many of them lie the wrong way round.
        thumb: (32, 32) uint8 grey photo, None where it cannot be read.
    """

    findings: list[Finding]
    pixels: Counts | None
    sides: tuple[int, int]
    thumb: UInt8Array | None


def check(datasets: Sequence[DataSet], *, progress: Callable[[int], None] = lambda _: None) -> Report:
    """Reads every photo and label map of a data set's splits.

    Args:
        datasets: one a split, at least one, of one root and order; opened with `strict=False`, or files that are
            missing end it before it starts.
        progress: called with the number of photos done since the last call.

    Raises:
        DataError: the splits are in different label orders.
    """
    first = datasets[0]
    for dataset in datasets[1:]:
        if dataset.order != first.order:
            raise DataError(
                dataset.root,
                f"has '{dataset.order.name}' labels in {_name(dataset)}, '{first.order.name}' in {_name(first)}",
                "check one split at a time, or name the order of all: --label-order",
            )
    findings: list[Finding] = []
    splits: list[SplitCounts] = []
    pictures: list[_Picture] = []
    for dataset in datasets:
        seen = _examine_all(dataset, progress)
        findings += _misplaced(dataset)
        findings += [finding for one in seen for finding in one.findings]
        findings += _swapped(dataset, seen)
        splits.append(_count(dataset, seen))
        pictures += [
            _Picture(split=_name(dataset), file=sample.image, thumb=one.thumb)
            for sample, one in zip(dataset.samples, seen, strict=True)
            if one.thumb is not None
        ]
    findings += _duplicates(pictures)
    rank = {kind: i for i, kind in enumerate(KINDS)}
    findings.sort(key=lambda finding: rank[finding.kind])
    return Report(
        root=first.root, layout=first.layout, order=first.order, splits=tuple(splits), findings=tuple(findings)
    )


def _name(dataset: DataSet) -> str:
    return dataset.split or WHOLE


def _examine_all(dataset: DataSet, progress: Callable[[int], None]) -> list[_Seen]:
    def examine(sample: Sample) -> _Seen:
        return _examine(sample, dataset.order, _name(dataset))

    seen: list[_Seen] = []
    pool = ThreadPoolExecutor(min(os.cpu_count() or 1, 8))  # decoding happens outside Python's lock
    # What silences Pillow for a moment in `imaging.load` belongs to the whole process, and threads would undo each
    # other's: so all is silent until they are done, and then as it was.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for one in pool.map(examine, dataset.samples):
                seen.append(one)
                progress(1)
        finally:
            pool.shutdown(cancel_futures=True)  # after Ctrl-C, what waits is not started
    return seen


def _examine(sample: Sample, order: LabelSet, split: str) -> _Seen:
    findings: list[Finding] = []

    def found(kind: str, error: SegFaceEdgeError) -> None:
        file = Path(error.subject)
        findings.append(Finding(kind=kind, split=split, file=file, problem=error.problem, cure=error.cure))

    photo: UInt8Array | None = None
    labels: UInt8Array | None = None
    try:
        photo = imaging.load(sample.image)
    except ImageError as error:
        found("photo", error)
    try:
        labels = sample.read_labels(order)
    except UnknownIdError as error:
        found("ids", error)
    except DataError as error:
        found("labels", error)
    if photo is not None and labels is not None:
        (height, width), (rows, columns) = photo.shape[:2], labels.shape
        if not same_frame((height, width), (rows, columns)):
            problem = f"is {columns} x {rows}, its upright photo {width} x {height}"
            found("size", DataError(sample.labels, problem, "turn or crop one as the other is"))
    return _Seen(
        findings=findings,
        pixels=None if labels is None else np.bincount(labels.reshape(-1), minlength=256),
        sides=(0, 0) if labels is None else wrong_sides(labels, order),
        thumb=None if photo is None else _thumb(photo),
    )


def wrong_sides(labels: UInt8Array, order: LabelSet) -> tuple[int, int]:
    """How many left/right pairs of a label map, (H, W) uint8 ids in `order`, show, and how many of them look swapped.

    The subject's left lies to the picture's right. Right is taken from the face itself, at a right angle to the way
    from brows and eyes down to nose and mouth, so that a head that lies or stands upside down is not taken for one
    with its sides swapped.
    """
    above = [index for index, name in enumerate(order.classes) if name.partition("_")[2] in _ABOVE]
    below = [index for index, name in enumerate(order.classes) if name in _BELOW]
    wanted = {*above, *below, *(index for pair in order.pairs for index in pair)}
    centres: dict[int, npt.NDArray[np.float64]] = {}
    for index in wanted:
        moments = cv2.moments(np.equal(labels, index).view(np.uint8), binaryImage=True)
        if moments["m00"]:
            centres[index] = np.array([moments["m10"], moments["m01"]]) / moments["m00"]
    pairs = [pair for pair in order.pairs if pair[0] in centres and pair[1] in centres]
    high, low = ([centres[index] for index in side if index in centres] for side in (above, below))
    down = np.mean(low, axis=0) - np.mean(high, axis=0) if high and low else np.array([0.0, 1.0])
    right = np.array([down[1], -down[0]])
    return len(pairs), sum(bool((centres[left] - centres[other]) @ right < 0) for left, other in pairs)


def _swapped(dataset: DataSet, seen: Sequence[_Seen]) -> list[Finding]:
    swapped = [
        (sample, one.sides)
        for sample, one in zip(dataset.samples, seen, strict=True)
        if 2 * one.sides[1] > one.sides[0]
    ]
    judged = sum(one.sides[0] > 0 for one in seen)
    if 2 * len(swapped) > judged:
        return [
            Finding(
                kind="reversed",
                split=_name(dataset),
                file=dataset.root,
                problem=f"has left and right swapped in {len(swapped)} of {judged} label maps",
                cure=f"left is the subject's left: exchange l_ and r_ ids, or name another order than "
                f"'{dataset.order.name}'",
            )
        ]
    return [
        Finding(
            kind="swapped",
            split=_name(dataset),
            file=sample.labels,
            problem=f"has {wrong} of {pairs} left/right pairs the wrong way round",
            cure="left is the subject's left, mostly the picture's right: look at it, and exchange its l_ and r_ ids",
        )
        for sample, (pairs, wrong) in swapped
    ]


def _misplaced(dataset: DataSet) -> list[Finding]:
    faults = [
        Finding(
            kind=fault.kind,
            split=_name(dataset),
            file=Path(fault.error.subject),
            problem=fault.error.problem,
            cure=fault.error.cure,
        )
        for fault in dataset.faults
    ]
    spare = [
        Finding(
            kind="spare",
            split=_name(dataset),
            file=path,
            problem="has no partner and is not used",
            cure="add its photo or label map, or remove it",
        )
        for path in dataset.spare
    ]
    return faults + spare


def _count(dataset: DataSet, seen: Sequence[_Seen]) -> SplitCounts:
    classes = len(dataset.order)
    maps = [one.pixels for one in seen if one.pixels is not None]
    pixels = np.array(maps, np.int64).reshape(-1, 256)
    return SplitCounts(
        name=_name(dataset),
        pairs=len(dataset.samples),
        images=(pixels[:, :classes] > 0).sum(axis=0),
        pixels=pixels[:, :classes].sum(axis=0),
        ignored=int(pixels[:, IGNORED].sum()) if classes <= IGNORED else 0,
    )


@dataclass(frozen=True, kw_only=True)
class _Picture:
    split: str
    file: Path
    thumb: UInt8Array


def _thumb(photo: UInt8Array) -> UInt8Array:
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (THUMB, THUMB), interpolation=cv2.INTER_AREA), np.uint8)


def _duplicates(pictures: Sequence[_Picture]) -> list[Finding]:
    """Near-duplicates, each with one that it looks like: n that look alike give n - 1 findings, of which one at least
    is across splits where the n are in several."""
    leader = list(range(len(pictures)))

    def lead(index: int) -> int:
        while leader[index] != index:
            leader[index] = index = leader[leader[index]]
        return index

    findings = []
    for first, second, mirrored in near_pairs([picture.thumb for picture in pictures]):
        if lead(first) == lead(second):
            continue
        leader[lead(second)] = lead(first)
        one, other = pictures[second], pictures[first]
        across = one.split != other.split
        findings.append(
            Finding(
                kind="leak" if across else "duplicate",
                split=one.split,
                file=one.file,
                problem=f"shows the picture of {other.file}{' mirrored' if mirrored else ''}",
                cure="keep one: what is trained on cannot measure" if across else "keep one, if it is not meant",
                other=other.file,
            )
        )
    return findings


def near_pairs(thumbs: Sequence[UInt8Array]) -> Iterator[tuple[int, int, bool]]:
    """Pairs of pictures that look alike: (first, second, whether one is mirrored), first < second.

    Two steps: a 64-bit difference hash (is a cell of 8 x 9 brighter than its left neighbour?) that differs in at most
    8 bits, then a correlation of the 32 x 32 pictures of 0.97 at least. Of pictures that are equal, only the first is
    compared with others, and the rest pair with it.

    Args:
        thumbs: (32, 32) uint8 each.
    """
    firsts: dict[bytes, int] = {}
    for index, thumb in enumerate(thumbs):
        equal = firsts.setdefault(thumb.tobytes(), index)
        if equal != index:
            yield equal, index, False
    if not firsts:
        return
    own = np.array(list(firsts.values()))
    stack = np.stack([thumbs[index] for index in own])
    bits, shapes = _hashes(stack), _standard(stack)
    for mirrored in (False, True):
        turned = stack[:, :, ::-1] if mirrored else stack
        turned_bits, turned_shapes = (_hashes(turned), _standard(turned)) if mirrored else (bits, shapes)
        for start in range(0, len(own), _BLOCK):
            rows = slice(start, start + _BLOCK)
            # Of bits that are 1 or -1 the product counts those that agree less those that differ: exact in float32.
            agree = turned_bits[rows] @ bits[start:].T
            near, other = np.nonzero(agree >= 64 - 2 * MOST_BITS)
            once = near < other
            near, other = near[once] + start, other[once] + start
            for part in range(0, len(near), 4096):
                i, j = near[part : part + 4096], other[part : part + 4096]
                alike = np.einsum("nd,nd->n", turned_shapes[i], shapes[j]) >= LEAST_CORRELATION
                for a, b in zip(own[i[alike]].tolist(), own[j[alike]].tolist(), strict=True):
                    yield a, b, mirrored


def _hashes(thumbs: UInt8Array) -> Floats:
    """(N, 64) float32 of 1 and -1."""
    cells = np.stack(
        [cv2.resize(thumb, (9, 8), interpolation=cv2.INTER_AREA) for thumb in np.ascontiguousarray(thumbs)]
    )
    brighter: Floats = np.where(cells[:, :, 1:] > cells[:, :, :-1], np.float32(1), np.float32(-1))
    return brighter.reshape(len(thumbs), 64)


def _standard(thumbs: UInt8Array) -> Floats:
    """(N, 1024) float32 of mean 0 and length 1, so that a product is a correlation; 0 where a picture is flat."""
    flat = thumbs.reshape(len(thumbs), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    standard: Floats = np.divide(flat, length, out=np.zeros_like(flat), where=length > 0)
    return standard
