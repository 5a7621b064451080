"""Percentiles and ratios."""

from __future__ import annotations

import math

import numpy as np
import pytest

from segface_edge.bench.statistics import paired_ratio, summary, unpaired_ratio


def test_percentiles_are_nearest_rank() -> None:
    found = summary([float(value) for value in range(100, 0, -1)])
    assert (found["p50"], found["p90"], found["p95"], found["p99"]) == (50, 90, 95, 99)
    assert (found["mean"], found["min"], found["max"]) == (50.5, 1, 100)
    assert found["cv"] == pytest.approx(math.sqrt((100**2 - 1) / 12) / 50.5)


def test_one_outlier_in_a_hundred_is_the_maximum_and_not_p99() -> None:
    found = summary([10.0] * 99 + [500.0])
    assert (found["p50"], found["p99"], found["max"]) == (10, 10, 500)
    assert found["mean"] == pytest.approx(14.9)


def test_two_modes_show_in_the_percentiles() -> None:
    found = summary([10.0, 10.0, 10.0, 30.0] * 25)
    assert (found["p50"], found["p90"], found["mean"]) == (10, 30, 15)


def test_a_drift_that_both_share_cancels() -> None:
    base = np.linspace(10, 30, 40)
    found = paired_ratio(1.1 * base, base)
    assert found.ratio == pytest.approx(1.1)
    assert (found.low, found.high) == (pytest.approx(1.1), pytest.approx(1.1))
    assert found.rounds == 40


def test_one_hiccup_does_not_decide() -> None:
    base = [10.0] * 40
    engine = [10.0] * 39 + [1000.0]
    assert paired_ratio(engine, base).ratio == pytest.approx(1.0)


def test_the_interval_holds_the_true_ratio_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for trial in range(200):
        base = 10 * np.exp(0.05 * rng.standard_normal(60))
        engine = 10.5 * np.exp(0.05 * rng.standard_normal(60))
        found = paired_ratio(engine, base, seed=trial)
        held += found.low <= 1.05 <= found.high
    assert 176 <= held <= 198


def test_neighbours_that_share_a_busy_second_widen_the_interval() -> None:
    rng = np.random.default_rng(2)
    apart = 0.1 * rng.standard_normal(64)
    together = np.repeat(0.1 * rng.standard_normal(8), 8)
    together *= apart.std() / together.std()
    base = np.full(64, 10.0)
    narrow = paired_ratio(base * np.exp(apart), base)
    wide = paired_ratio(base * np.exp(together), base)
    assert wide.high - wide.low > 1.3 * (narrow.high - narrow.low)


def test_a_report_is_repeatable() -> None:
    rng = np.random.default_rng(3)
    engine, base = rng.uniform(9, 11, 30), rng.uniform(9, 11, 30)
    assert paired_ratio(engine, base) == paired_ratio(engine, base)
    assert unpaired_ratio(engine, base) == unpaired_ratio(engine, base)


def test_runs_of_different_lengths_are_compared_by_their_means() -> None:
    found = unpaired_ratio([12.0] * 30, [10.0] * 50)
    assert found.ratio == pytest.approx(1.2)
    assert (found.low, found.high) == (pytest.approx(1.2), pytest.approx(1.2))
