"""What samples say: percentiles, and ratios with an interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

PERCENTILES = (50, 90, 95, 99)
RESAMPLES = 4000
CONFIDENCE = 0.95


def summary(milliseconds: Sequence[float]) -> dict[str, float]:
    """p50, p90, p95, p99 (nearest rank: each is a time that was measured), mean, min, max, and the coefficient of
    variation `cv` (standard deviation over mean)."""
    values = np.asarray(milliseconds, float)
    found = {f"p{p}": float(np.percentile(values, p, method="inverted_cdf")) for p in PERCENTILES}
    mean = float(values.mean())
    return {
        **found,
        "mean": mean,
        "min": float(values.min()),
        "max": float(values.max()),
        "cv": float(values.std() / mean) if mean else 0.0,
    }


@dataclass(frozen=True)
class Ratio:
    """How many times slower one engine is than another.

    Attributes:
        ratio: of latencies; above 1 is slower than the base.
        low, high: 95 % bootstrap interval.
        rounds: how many pairs it rests on.
    """

    ratio: float
    low: float
    high: float
    rounds: int


def paired_ratio(engine: Sequence[float], base: Sequence[float], *, seed: int = 0) -> Ratio:
    """The ratio of two engines measured in turn, round by round.

    Each round gives log(engine / base); a drift of the machine's speed moves both and cancels. The estimate is the
    10 %-trimmed mean over rounds, so that one hiccup does not decide. The interval is a moving-block bootstrap (Künsch
    1989): what neighbouring rounds share (a busy second) stays together when rounds are drawn again.

    Args:
        engine, base: milliseconds per round, equally many, at least 2, positive.
        seed: of the resampling, so that a report is repeatable.
    """
    logs = np.log(np.asarray(engine, float) / np.asarray(base, float))
    return _interval(logs, seed)


def unpaired_ratio(engine: Sequence[float], base: Sequence[float], *, seed: int = 0) -> Ratio:
    """The ratio of two runs made at different times, from their raw samples: trimmed means, bootstrapped apart.

    It cannot tell a slower engine from a slower machine; measure both in one run where that matters.
    """
    rng = np.random.default_rng(seed)
    first, second = np.log(np.asarray(engine, float)), np.log(np.asarray(base, float))
    spread = _trimmed(_resampled(first, rng)) - _trimmed(_resampled(second, rng))
    low, high = _bounds(spread)
    middle = float(_trimmed(first[None])[0] - _trimmed(second[None])[0])
    return Ratio(float(np.exp(middle)), low, high, min(len(first), len(second)))


def _interval(logs: npt.NDArray[np.float64], seed: int) -> Ratio:
    low, high = _bounds(_trimmed(_resampled(logs, np.random.default_rng(seed))))
    return Ratio(float(np.exp(_trimmed(logs[None])[0])), low, high, len(logs))


def _bounds(estimates: npt.NDArray[np.float64]) -> tuple[float, float]:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.exp(np.quantile(estimates, [tail, 1 - tail]))
    return float(low), float(high)


def _resampled(values: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """(RESAMPLES, n): series of blocks of neighbours, drawn with replacement (circular, so that ends count alike)."""
    n = len(values)
    block = max(1, round(n ** (1 / 3)))
    starts = rng.integers(0, n, size=(RESAMPLES, -(-n // block)))
    picks = (starts[:, :, None] + np.arange(block)).reshape(RESAMPLES, -1)[:, :n] % n
    drawn: npt.NDArray[np.float64] = values[picks]
    return drawn


def _trimmed(series: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(rows, n) -> (rows,): mean of each row without its lowest and highest tenth."""
    cut = series.shape[1] // 10
    ordered = np.sort(series, axis=1)
    means: npt.NDArray[np.float64] = ordered[:, cut : series.shape[1] - cut].mean(axis=1)
    return means
