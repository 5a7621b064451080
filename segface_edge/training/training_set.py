"""What a network is trained on: labelled photos, those that a teacher labelled, and how often each comes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from segface_edge.datasets.opening import DataSet, open_dataset
from segface_edge.datasets.samples import Sample
from segface_edge.errors import UsageError
from segface_edge.labels import RARE_PARTS, label_set

from .face_source import FaceSource
from .recipe import DataConfig, Recipe
from .sampling import PhotoOrder, rate, repeat_factors


@dataclass(frozen=True, kw_only=True)
class TrainingSet:
    """The training set of a run.

    Attributes:
        source: makes samples of its photos.
        photos: which of them comes when.
        labelled: how many of the first were labelled by a person.
        rates: {rare class: how often its photos come in an epoch, and their share of its samples}, where
            repeat-factor sampling is on.
    """

    source: FaceSource
    photos: PhotoOrder
    labelled: int
    rates: Mapping[str, tuple[float, float]]


def make_training_set(recipe: Recipe, labelled: Sequence[DataSet], extra: Sequence[Sample]) -> TrainingSet:
    """The training set as a recipe says.

    Args:
        recipe: of the training.
        labelled: photos that a person labelled, each set in its own label order.
        extra: photos that a teacher labelled, in the network's label order.

    Raises:
        DataError, ImageError: a photo or label map that is read already (`data.preload`) cannot be used.
        UsageError: a set's label order does not tell all classes of the network.
    """
    order = label_set(recipe.model.labels)
    samples = [sample for data in labelled for sample in data.samples]
    orders = [data.order for data in labelled for _ in data.samples]
    count = len(samples)
    source = FaceSource(
        [*samples, *extra],
        [*orders, *[order] * len(extra)],
        order,
        side=recipe.data.side,
        config=recipe.augment,
        seed=recipe.run.seed,
        preload=recipe.data.preload,
        donors=count,
        warps=recipe.model.warp,
    )
    factors, rates = np.ones(count), {}
    if recipe.sampling.repeat_threshold > 0:
        present = source.present(count)
        factors = repeat_factors(present, recipe.sampling)
        rates = {part: rate(present, factors, order.index(part)) for part in RARE_PARTS if part in order.classes}
    photos = PhotoOrder(
        factors, extra=len(extra), share=recipe.teacher.share if recipe.teacher else 0.0, seed=recipe.run.seed
    )
    return TrainingSet(source=source, photos=photos, labelled=count, rates=rates)


def open_validation(config: DataConfig) -> DataSet | None:
    """The labelled photos that a recipe is measured on, of all its sets together; None where it names none.

    Raises:
        DataError: as `open_labelled`.
        UsageError: the sets are in different label orders.
    """
    sets = [open_labelled(root, config.val_split, config.label_order) for root in config.val_sets]
    if not sets:
        return None
    orders = list(dict.fromkeys(data.order.name for data in sets))
    if len(orders) > 1:
        raise UsageError(
            "data.val", f"has sets in the label orders {' and '.join(orders)}", "measure on sets of one order"
        )
    return replace(sets[0], samples=tuple(sample for data in sets for sample in data.samples))


def open_labelled(root: str, split: str | None, order: str | None) -> DataSet:
    """A labelled data set of a recipe: its folder, split, and the label order where the data set does not say it.

    Raises:
        DataError: no such folder, no layout that is known, or photos without label maps.
    """
    return open_dataset(Path(root), split=split, default=label_set(order) if order else None)
