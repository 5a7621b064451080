"""A model against a labelled folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from PIL import Image

from segface_edge import imaging
from segface_edge.engines import Engine
from segface_edge.errors import DataError
from segface_edge.imaging import UInt8Array
from segface_edge.labels import LabelSet

from .datasets import Sample, read_labels
from .histogram import IGNORED, Histogram

Protocol = Literal["paper", "native"]
BATCH = 4


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
    """

    model: str
    protocol: Protocol
    size: int
    images: int
    order: LabelSet
    histogram: Histogram

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: F1 and IoU as fractions, null for a class that is in neither truth nor prediction.

        `mean_f1` is over the classes but background, `mean_iou` with it, as in the paper.
        """
        f1, iou = self.histogram.f1(), self.histogram.iou()
        return {
            "model": self.model,
            "protocol": self.protocol,
            "size": self.size,
            "images": self.images,
            "label_order": self.order.name,
            "mean_f1": _mean(f1[1:]),
            "mean_iou": _mean(iou),
            "per_class_f1": dict(zip(self.order.classes, map(_number, f1), strict=True)),
            "per_class_iou": dict(zip(self.order.classes, map(_number, iou), strict=True)),
        }


def evaluate(
    engine: Engine,
    samples: Sequence[Sample],
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
        protocol: `paper` resizes photo (bicubic) and labels (nearest) to the network's square; `native` fits the photo
            as the parser does and compares in the label map's own pixels.
        progress: called with the number of photos done since the last call.

    Raises:
        ImageError, DataError: a photo or label map cannot be read.
    """
    model_order = engine.spec.labels
    common = order if len(order) < len(model_order) else model_order
    truth_table = _with_ignored(order, common)
    predicted_table = _with_ignored(model_order, common)
    histogram = Histogram(len(common))
    size = engine.spec.size
    squash = protocol == "paper"
    for start in range(0, len(samples), BATCH):
        chunk = samples[start : start + BATCH]
        images = [imaging.load(sample.image) for sample in chunk]
        truths = [read_labels(sample.labels, order) for sample in chunk]
        fits = [imaging.fit(image, size, squash=squash) for image in images]
        predictions = engine.infer(np.stack([fitted.pixels for fitted in fits])).labels
        for sample, image, truth in zip(chunk, images, truths, strict=True):
            _check_shapes(sample, image.shape, truth.shape)
        for image, truth, fitted, labels in zip(images, truths, fits, predictions, strict=True):
            if squash:
                truth = np.asarray(Image.fromarray(truth).resize((size, size), Image.Resampling.NEAREST))
            else:
                height, width = truth.shape
                geometry = fitted.geometry.for_photo_scaled(width / image.shape[1], height / image.shape[0])
                labels = imaging.restore(labels, geometry, height, width)
            histogram.add(truth_table[truth], predicted_table[labels])
        progress(len(chunk))
    return Evaluation(
        model=engine.source, protocol=protocol, size=size, images=len(samples), order=common, histogram=histogram
    )


def _check_shapes(sample: Sample, photo: tuple[int, ...], labels: tuple[int, ...]) -> None:
    """Raises DataError where photo and label map cannot be of the same frame."""
    (height, width), (rows, columns) = photo[:2], labels[:2]
    # Sides may be scaled, and each rounded to whole pixels.
    if abs(height * columns - width * rows) > max(height + width, rows + columns):
        raise DataError(
            sample.labels,
            f"is {columns} x {rows}, its upright photo {width} x {height}",
            "turn or crop one as the other is",
        )


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
