"""Which photo comes when, and how often."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from segface_edge.training.recipe import SamplingConfig
from segface_edge.training.sampling import PhotoOrder, rate, repeat_factors


def test_every_photo_comes_once_an_epoch() -> None:
    order = PhotoOrder(np.ones(10), seed=0)
    first, second = ([order[i] for i in range(start, start + 10)] for start in (0, 10))
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    assert [PhotoOrder(np.ones(10), seed=0)[i] for i in (13, 2)] == [second[3], first[2]]
    assert [PhotoOrder(np.ones(10), seed=1)[i] for i in range(10)] != first


def test_rare_photos_come_as_often_as_their_factors_say() -> None:
    order = PhotoOrder(np.array([1.0, 2.5, 1.0, 4.0]), seed=0)
    counts = np.bincount([order[i] for i in range(8500)])
    assert counts / 1000 == pytest.approx([1, 2.5, 1, 4], rel=0.03)


def test_the_teachers_photos_have_their_share() -> None:
    order = PhotoOrder(np.ones(30), extra=5, share=0.25, seed=0)
    photos = [order[i] for i in range(4000)]
    extra = [photo for photo in photos if photo >= 30]
    assert len(extra) / len(photos) == pytest.approx(0.25, abs=0.01)
    assert set(extra) == set(range(30, 35))


def test_repeat_factors_are_those_of_the_paper() -> None:
    """Label 9 in 1 of 8 photos; t = 0.5: sqrt(0.5 / 0.125) = 2."""
    present = [frozenset({0, 1})] * 7 + [frozenset({0, 1, 9})]
    factors = repeat_factors(present, SamplingConfig(repeat_threshold=0.5))
    assert factors.tolist() == [1.0] * 7 + [2.0]
    assert repeat_factors(present, SamplingConfig(repeat_threshold=0.5, max_repeat=1.5))[-1] == 1.5
    assert repeat_factors(present, SamplingConfig()).tolist() == [1.0] * 8
    # 2 of the 9 samples of an epoch.
    assert rate(present, factors, 9) == (2.0, pytest.approx(2 / 9))
    assert rate(present, factors, 0) == (pytest.approx(9 / 8), 1.0)
    assert rate(present, factors, 5) == (0.0, 0.0)
