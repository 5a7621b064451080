"""A labelled data set looked at before training: what cannot be used, what is suspicious, what it holds."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segface_edge.errors import DataError, ImageError, SegFaceEdgeError
from segface_edge.labels import LabelSet
from segface_edge.pictures import reading
from segface_edge.pictures.geometry import UInt8Array

from .counts import Counts, SplitCounts, count_split, split_name
from .duplicates import Picture, find_duplicates, thumb_of
from .findings import KINDS, Finding, Report
from .opening import DataSet
from .samples import Sample, UnknownIdError, same_proportions
from .sides import swapped_sides, wrong_sides


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
            here, there = split_name(dataset), split_name(first)
            raise DataError(
                dataset.root,
                f"has '{dataset.order.name}' labels in {here}, '{first.order.name}' in {there}",
                "check one split at a time, or name the order of all: --label-order",
            )
    findings: list[Finding] = []
    splits: list[SplitCounts] = []
    pictures: list[Picture] = []
    for dataset in datasets:
        seen = _examine_all(dataset, progress)
        # A name or a line of a list may concern the whole set: every split finds it.
        known = {(finding.file, finding.problem) for finding in findings}
        findings += [finding for finding in _misplaced(dataset) if (finding.file, finding.problem) not in known]
        findings += [finding for one in seen for finding in one.findings]
        findings += swapped_sides(dataset, [one.sides for one in seen])
        splits.append(count_split(dataset, [one.pixels for one in seen if one.pixels is not None]))
        pictures += [
            Picture(split=split_name(dataset), file=sample.image, thumb=one.thumb)
            for sample, one in zip(dataset.samples, seen, strict=True)
            if one.thumb is not None
        ]
    findings += find_duplicates(pictures)
    rank = {kind: i for i, kind in enumerate(KINDS)}
    findings.sort(key=lambda finding: rank[finding.kind])
    return Report(
        root=first.root, layout=first.layout, order=first.order, splits=tuple(splits), findings=tuple(findings)
    )


def _examine_all(dataset: DataSet, progress: Callable[[int], None]) -> list[_Seen]:
    def examine(sample: Sample) -> _Seen:
        return _examine(sample, dataset.order, split_name(dataset))

    seen: list[_Seen] = []
    pool = ThreadPoolExecutor(min(os.cpu_count() or 1, 8))  # decoding happens outside Python's lock
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
        photo = reading.load(sample.image)
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
        if not same_proportions((height, width), (rows, columns)):
            problem = f"is {columns} x {rows}, its upright photo {width} x {height}"
            found("size", DataError(sample.labels, problem, "turn or crop one as the other is"))
    return _Seen(
        findings=findings,
        pixels=None if labels is None else np.bincount(labels.reshape(-1), minlength=256),
        sides=(0, 0) if labels is None else wrong_sides(labels, order),
        thumb=None if photo is None else thumb_of(photo),
    )


def _misplaced(dataset: DataSet) -> list[Finding]:
    faults = [
        Finding(
            kind=fault.kind,
            split=split_name(dataset),
            file=Path(fault.error.subject),
            problem=fault.error.problem,
            cure=fault.error.cure,
        )
        for fault in dataset.faults
    ]
    spare = [
        Finding(
            kind="spare",
            split=split_name(dataset),
            file=path,
            problem="has no partner and is not used",
            cure="add its photo or label map, or remove it",
        )
        for path in dataset.spare
    ]
    return faults + spare
