"""F1 and IoU against the definition, class by class, pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segface_edge.errors import UsageError
from segface_edge.evaluation.histogram import Histogram

Array = npt.NDArray[np.uint8]


def naive(truths: list[Array], predictions: list[Array], classes: int) -> tuple[list[float], list[float]]:
    """(F1, IoU) per class, from precision and recall over the pixels whose truth is not 255."""
    truth = [int(t) for one in truths for t in one.reshape(-1)]
    predicted = [int(p) for one in predictions for p in one.reshape(-1)]
    pixels = [(t, p) for t, p in zip(truth, predicted, strict=True) if t != 255]
    f1, iou = [], []
    for label in range(classes):
        both = sum(t == label and p == label for t, p in pixels)
        missed = sum(t == label and p != label for t, p in pixels)
        invented = sum(t != label and p == label for t, p in pixels)
        if both + missed + invented == 0:
            f1.append(math.nan)
            iou.append(math.nan)
        elif both == 0:
            f1.append(0.0)
            iou.append(0.0)
        else:
            precision, recall = both / (both + invented), both / (both + missed)
            f1.append(2 * precision * recall / (precision + recall))
            iou.append(both / (both + missed + invented))
    return f1, iou


@given(st.integers(1, 6), st.integers(1, 4), st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_f1_and_iou_are_those_of_the_definition_over_all_images(classes: int, images: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    histogram = Histogram(classes)
    truths, predictions = [], []
    for _ in range(images):
        shape = tuple(random.integers(1, 8, 2))
        # The highest class is rare, so that it is sometimes absent; 255 is ignored.
        truth = random.integers(0, max(classes - 1, 1), shape).astype(np.uint8)
        truth[random.random(shape) < 0.2] = 255
        truth[random.random(shape) < 0.05] = classes - 1
        predicted = random.integers(0, max(classes - 1, 1), shape).astype(np.uint8)
        histogram.add(truth, predicted)
        truths.append(truth)
        predictions.append(predicted)
    f1, iou = naive(truths, predictions, classes)
    np.testing.assert_allclose(histogram.f1(), f1, rtol=1e-12)
    np.testing.assert_allclose(histogram.iou(), iou, rtol=1e-12)


def test_counts_have_truth_in_rows_and_predictions_in_columns() -> None:
    histogram = Histogram(3)
    histogram.add(np.array([[0, 1, 1, 2]], np.uint8), np.array([[0, 1, 2, 2]], np.uint8))
    assert histogram.counts.tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 1]]
    assert histogram.f1().tolist() == [1, pytest.approx(2 / 3), pytest.approx(2 / 3)]
    assert histogram.iou().tolist() == [1, 0.5, 0.5]
    assert histogram.equal() == 0.75


def test_a_class_in_neither_is_nan_and_one_in_either_is_0() -> None:
    histogram = Histogram(4)
    histogram.add(np.array([0, 1], np.uint8), np.array([0, 2], np.uint8))
    assert histogram.f1()[:3].tolist() == [1, 0, 0]
    assert math.isnan(histogram.f1()[3])
    assert math.isnan(histogram.iou()[3])


def test_pixels_whose_truth_is_255_do_not_count_whatever_was_predicted() -> None:
    histogram = Histogram(2)
    histogram.add(np.array([255, 255, 1], np.uint8), np.array([0, 200, 1], np.uint8))
    assert histogram.counts.tolist() == [[0, 0], [0, 1]]


def test_nothing_but_ignored_pixels_gives_nan() -> None:
    histogram = Histogram(2)
    histogram.add(np.full((4, 4), 255, np.uint8), np.zeros((4, 4), np.uint8))
    assert np.isnan(histogram.f1()).all()
    assert math.isnan(histogram.equal())


def test_the_mean_is_not_taken_over_images() -> None:
    """One large image that is right and a small one that is wrong: pixels weigh, not images."""
    histogram = Histogram(2)
    histogram.add(np.ones((30, 30), np.uint8), np.ones((30, 30), np.uint8))
    histogram.add(np.ones((10, 10), np.uint8), np.zeros((10, 10), np.uint8))
    assert histogram.iou()[1] == 0.9
    assert histogram.equal() == 0.9


def test_large_maps_do_not_overflow() -> None:
    histogram = Histogram(256)
    ones = np.full((600, 600), 254, np.uint8)
    histogram.add(ones, ones)
    assert histogram.counts[254, 254] == 360_000
    assert histogram.counts.sum() == 360_000


def test_maps_of_different_shapes_are_refused() -> None:
    with pytest.raises(UsageError, match="differ in shape"):
        Histogram(2).add(np.zeros((2, 2), np.uint8), np.zeros((4,), np.uint8))


@pytest.mark.parametrize(("truth", "predicted"), [(2, 0), (0, 2), (0, 255)])
def test_a_label_beyond_the_classes_is_refused(truth: int, predicted: int) -> None:
    with pytest.raises(UsageError, match="has a label of 2 or more"):
        Histogram(2).add(np.array([truth], np.uint8), np.array([predicted], np.uint8))


@given(st.integers(0, 2**32 - 1), st.sets(st.integers(0, 4), min_size=1))
@settings(max_examples=50, deadline=None)
def test_merged_classes_score_as_one_class_painted_over_them(seed: int, chosen: set[int]) -> None:
    random = np.random.default_rng(seed)
    truth, predicted = random.integers(0, 5, (2, 20, 20)).astype(np.uint8)
    truth[random.random(truth.shape) < 0.2] = 255
    apart, painted = Histogram(5), Histogram(5)
    apart.add(truth, predicted)
    first = min(chosen)
    painted.add(*(np.where(np.isin(one, list(chosen)), first, one).astype(np.uint8) for one in (truth, predicted)))
    assert apart.merged_f1(sorted(chosen)) == pytest.approx(painted.f1()[first], rel=1e-12)


def test_merged_classes_that_do_not_occur_have_no_score() -> None:
    histogram = Histogram(4)
    histogram.add(np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.uint8))
    assert math.isnan(histogram.merged_f1([2, 3]))
    assert histogram.merged_f1([0, 1]) == 1
