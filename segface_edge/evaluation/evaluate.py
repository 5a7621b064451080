"""A model against a labelled folder."""

from __future__ import annotations

import math
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from segface_edge.engines import Engine
from segface_edge.engines.warped import infer_squares
from segface_edge.errors import DataError
from segface_edge.labels import IGNORED, MERGED_PARTS, LabelSet
from segface_edge.pictures import fitting, restoring
from segface_edge.pictures.cutting import cut as cut_out
from segface_edge.pictures.geometry import FaceBox, UInt8Array
from segface_edge.pictures.landmarks import Points, five_of

from .histogram import Histogram

Protocol = Literal["paper", "native"]
BATCH = 4
# Photos that the document names.
WORST = 10


class Labelled(typing.Protocol):
    """A photo with its label map, as `datasets.samples.Sample` is."""

    @property
    def image(self) -> Path:
        """The photo's file."""

    @property
    def landmarks(self) -> Points | None:
        """Points of the face, in the photo's pixels, as of `pictures.landmarks.five`."""

    @property
    def box(self) -> FaceBox | None:
        """What its data set's protocol shows of the photo; None: all of it."""

    def read(self, order: LabelSet) -> tuple[UInt8Array, UInt8Array]:
        """(H, W, 3) uint8 RGB, and (h, w) uint8 ids in `order`, 255 ignored, of the same picture."""


@dataclass(frozen=True, kw_only=True)
class PhotoScore:
    """One photo of an evaluation.

    Attributes:
        name: the photo's file name.
        mean_f1: over the classes but background that are in its truth or prediction; None where none is.
        worst_class, worst_f1: of these classes the one with the lowest F1; None likewise.
    """

    name: str
    mean_f1: float | None
    worst_class: str | None
    worst_f1: float | None

    def describe(self) -> str:
        """One line for people, in points of 100."""
        if self.mean_f1 is None or self.worst_f1 is None:
            return f"{self.name}: background alone"
        return f"{self.name}: mean F1 = {100 * self.mean_f1:.1f}, worst {self.worst_class} = {100 * self.worst_f1:.1f}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Compared:
    """A photo as it was compared.

    Attributes:
        image: (H, W, 3) uint8 RGB. Protocol `paper`: the network's square; `native`: the photo, whose sides may be a
            multiple of the label maps'.
        truth: (h, w) uint8 labels; 255 is ignored.
        predicted: (h, w) uint8 labels in the same order.
    """

    image: UInt8Array
    truth: UInt8Array
    predicted: UInt8Array


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The result of an evaluation.

    Attributes:
        model: the model's file name.
        protocol: `paper` or `native`.
        size: the network's input side.
        images: how many photos.
        order: the label order that was compared.
        histogram: truth against prediction over all pixels.
        photos: each photo's own score, in the order of the samples.
    """

    model: str
    protocol: Protocol
    size: int
    images: int
    order: LabelSet
    histogram: Histogram
    photos: tuple[PhotoScore, ...] = ()

    def worst(self, count: int) -> list[int]:
        """Positions in `photos` of the `count` with the lowest mean F1, worst first; those without one come last."""
        return sorted(range(len(self.photos)), key=lambda i: _or_infinite(self.photos[i].mean_f1))[:count]

    def mean_f1(self) -> float | None:
        """Mean F1 over the classes but background that occur; None where none does."""
        return _mean(self.histogram.f1()[1:])

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: F1 and IoU as fractions, null for a class that is in neither truth nor prediction.

        `mean_f1` is over the classes but background, `mean_iou` with it, as in the paper; `merged_f1` is of
        `MERGED_PARTS`, which it reports on Helen.
        """
        f1, iou = self.histogram.f1(), self.histogram.iou()
        return {
            "model": self.model,
            "protocol": self.protocol,
            "size": self.size,
            "images": self.images,
            "label_order": self.order.name,
            "mean_f1": self.mean_f1(),
            "mean_iou": _mean(iou),
            "merged_f1": {
                name: _number(self.histogram.merged_f1([self.order.index(part) for part in parts]))
                for name, parts in MERGED_PARTS.items()
                if set(parts) <= set(self.order.classes)
            },
            "per_class_f1": dict(zip(self.order.classes, map(_number, f1), strict=True)),
            "per_class_iou": dict(zip(self.order.classes, map(_number, iou), strict=True)),
            "worst": [
                {
                    "file": photo.name,
                    "mean_f1": photo.mean_f1,
                    "worst_class": photo.worst_class,
                    "worst_f1": photo.worst_f1,
                }
                for photo in map(self.photos.__getitem__, self.worst(WORST))
            ],
            "confusion": self.histogram.counts.tolist(),
        }


def evaluate(
    engine: Engine,
    samples: Sequence[Labelled],
    order: LabelSet,
    protocol: Protocol,
    *,
    progress: Callable[[int], None] = lambda _: None,
) -> Evaluation:
    """Runs `engine` over `samples` and compares with their labels.

    Args:
        engine: the model.
        samples: photos and label maps.
        order: of the label maps on disk. Labels and predictions are compared in the order with fewer classes.
        protocol: `paper` resizes photo (bicubic) and labels (nearest), or the box of both that the data set shows, to
            the network's square; `native` fits the photo as the parser does and compares in the label map's own pixels.
            A model that warps faces does so by the samples' landmarks in either.
        progress: called with the number of photos done since the last call.

    Raises:
        ImageError, DataError: a photo or label map cannot be read, or has no landmarks for a model that needs them.
    """
    common = common_order(engine, order)
    histogram = Histogram(len(common))
    photos = []
    for sample, pair in zip(samples, compared(engine, samples, order, protocol), strict=True):
        own = Histogram(len(common))
        own.add(pair.truth, pair.predicted)
        histogram.counts += own.counts
        photos.append(_score(sample.image.name, own, common))
        progress(1)
    return Evaluation(
        model=engine.source,
        protocol=protocol,
        size=engine.spec.size,
        images=len(samples),
        order=common,
        histogram=histogram,
        photos=tuple(photos),
    )


def common_order(engine: Engine, order: LabelSet) -> LabelSet:
    """The order in which labels of `order` and `engine`'s are compared: the one with fewer classes."""
    return order if len(order) < len(engine.spec.labels) else engine.spec.labels


def compared(engine: Engine, samples: Sequence[Labelled], order: LabelSet, protocol: Protocol) -> Iterator[Compared]:
    """Each of `samples` with its truth and prediction, in `common_order`. Arguments and errors as for `evaluate`."""
    common = common_order(engine, order)
    truth_table = _with_ignored(order, common)
    predicted_table = _with_ignored(engine.spec.labels, common)
    size = engine.spec.size
    squash = protocol == "paper"
    for start in range(0, len(samples), BATCH):
        chunk = samples[start : start + BATCH]
        faces = [_read(engine, sample, order, cut=squash) for sample in chunk]
        fits = [fitting.fit(face.image, size, squash=squash) for face in faces]
        landmarks = [
            face.landmarks and fitted.geometry.to_square(face.landmarks)
            for face, fitted in zip(faces, fits, strict=True)
        ]
        predictions = infer_squares(engine, np.stack([fitted.pixels for fitted in fits]), landmarks).labels
        for face, fitted, labels in zip(faces, fits, predictions, strict=True):
            image, truth = face.image, face.truth
            if squash:
                image = fitted.pixels
                truth = np.asarray(Image.fromarray(truth).resize((size, size), Image.Resampling.NEAREST))
            else:
                height, width = truth.shape
                geometry = fitted.geometry.for_photo_scaled(width / image.shape[1], height / image.shape[0])
                labels = restoring.restore(labels, geometry, height, width)
            yield Compared(image=image, truth=truth_table[truth], predicted=predicted_table[labels])


@dataclass(frozen=True)
class _Face:
    """A photo (H, W, 3) and its truth (h, w), or the box of both; its five landmarks, for a model that warps faces."""

    image: UInt8Array
    truth: UInt8Array
    landmarks: Points | None


def _read(engine: Engine, sample: Labelled, order: LabelSet, *, cut: bool) -> _Face:
    """A sample; `cut`: what its data set's protocol shows of it."""
    image, truth = sample.read(order)
    landmarks = _five(engine, sample) if engine.spec.warp != "none" else None
    if not cut or sample.box is None:
        return _Face(image, truth, landmarks)
    image, truth, (left, top) = cut_out(image, truth, sample.box, sample.image)
    return _Face(image, truth, landmarks and tuple((x - left, y - top) for x, y in landmarks))


def _five(engine: Engine, sample: Labelled) -> Points:
    """A sample's five landmarks. Raises DataError where it has none."""
    if sample.landmarks is None:
        cure = "use a data set that has them, LaPa for example"
        raise DataError(sample.image, f"has no landmarks, which {engine.source} warps faces by", cure)
    return five_of(sample.landmarks, sample.image)


def _score(name: str, histogram: Histogram, order: LabelSet) -> PhotoScore:
    f1 = histogram.f1()[1:]
    if np.isnan(f1).all():
        return PhotoScore(name=name, mean_f1=None, worst_class=None, worst_f1=None)
    worst = int(np.nanargmin(f1))
    return PhotoScore(name=name, mean_f1=_mean(f1), worst_class=order.classes[1 + worst], worst_f1=_number(f1[worst]))


def _with_ignored(order: LabelSet, target: LabelSet) -> UInt8Array:
    table = np.full(256, IGNORED, np.uint8)
    table[: len(order)] = order.table_to(target)
    return table


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _mean(values: np.ndarray[Any, np.dtype[np.float64]]) -> float | None:
    """Mean over the classes that occur."""
    present = values[~np.isnan(values)]
    return float(present.mean()) if len(present) else None


def _or_infinite(value: float | None) -> float:
    return math.inf if value is None else value
