"""Percentiles and ratios."""

from __future__ import annotations

import math

import numpy as np
import pytest

from segface_edge.bench import statistics
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
    found = paired_ratio([1.1 * base] * 6, [base] * 6)
    assert found.ratio == pytest.approx(1.1)
    assert (found.low, found.high) == (pytest.approx(1.1), pytest.approx(1.1))
    assert (found.openings, found.rounds) == (6, 240)


def test_one_hiccup_does_not_decide() -> None:
    base = [10.0] * 40
    engine = [10.0] * 39 + [1000.0]
    assert paired_ratio([engine], [base]).ratio == pytest.approx(1.0)


def noisy(rng: np.random.Generator, rounds: int, mean: float) -> np.ndarray:
    return np.asarray(mean * np.exp(0.05 * rng.standard_normal(rounds)))


@pytest.mark.parametrize("openings", [6, 10])
def test_sessions_that_differ_are_in_the_interval_of_several_openings(openings: int) -> None:
    """Each session is faster or slower by 2 % for as long as it lives; the engines are equal."""
    rng = np.random.default_rng(openings)
    held = 0
    for trial in range(200):
        engine = [noisy(rng, 12, 10 * math.exp(0.02 * rng.standard_normal())) for _ in range(openings)]
        base = [noisy(rng, 12, 10) for _ in range(openings)]
        found = paired_ratio(engine, base, seed=trial)
        held += found.low <= 1 <= found.high
        assert (found.openings, found.rounds) == (openings, 12 * openings)
    assert 180 <= held <= 199


@pytest.mark.parametrize("openings", [1, 2, 5])
def test_too_few_openings_have_a_ratio_and_no_interval(openings: int) -> None:
    found = paired_ratio([[12.0, 12.0]] * openings, [[10.0, 10.0]] * openings)
    assert found.ratio == pytest.approx(1.2)
    assert (found.low, found.high) == (None, None)


def test_neighbours_that_share_a_busy_second_widen_the_interval() -> None:
    rng = np.random.default_rng(2)
    apart = 0.1 * rng.standard_normal(64)
    together = np.repeat(0.1 * rng.standard_normal(8), 8)
    together *= apart.std() / together.std()
    base = np.full(64, 10.0)
    narrow, wide = unpaired_ratio(base * np.exp(apart), base), unpaired_ratio(base * np.exp(together), base)
    assert None not in (wide.high, wide.low, narrow.high, narrow.low)
    assert wide.high - wide.low > 1.3 * (narrow.high - narrow.low)  # type: ignore[operator]


def test_a_long_run_fits_in_memory() -> None:
    rng = np.random.default_rng(4)
    found = unpaired_ratio(1.1 * rng.uniform(0.9, 1.1, 60_000), rng.uniform(0.9, 1.1, 50_000))
    assert found.ratio == pytest.approx(1.1, rel=0.01)
    assert found.rounds == 50_000


def test_a_report_is_repeatable() -> None:
    rng = np.random.default_rng(3)
    engine, base = rng.uniform(9, 11, 30), rng.uniform(9, 11, 30)
    openings = np.split(engine, 6), np.split(base, 6)
    assert paired_ratio(*openings) == paired_ratio(*openings)
    assert unpaired_ratio(engine, base) == unpaired_ratio(engine, base)


@pytest.mark.parametrize(("freedom", "point"), [(4, 2.776), (9, 2.262), (30, 2.042), (1000, 1.962)])
def test_student_s_points_are_those_of_the_tables(freedom: int, point: float) -> None:
    assert statistics._student(freedom) == pytest.approx(point, rel=0.005)


def test_runs_of_different_lengths_are_compared_by_their_means() -> None:
    found = unpaired_ratio([12.0] * 30, [10.0] * 50)
    assert found.ratio == pytest.approx(1.2)
    assert (found.low, found.high) == (pytest.approx(1.2), pytest.approx(1.2))
