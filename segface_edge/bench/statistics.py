"""What samples say: percentiles, and ratios with an interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

PERCENTILES = (50, 90, 95, 99)
RESAMPLES = 4000
MAX_SAMPLES = 500
MIN_OPENINGS = 6
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
        low, high: 95 % bootstrap interval; None where there are too few openings for one.
        openings: how often both engines were opened anew.
        rounds: how many pairs of rounds it rests on.
    """

    ratio: float
    low: float | None
    high: float | None
    openings: int
    rounds: int


def paired_ratio(engine: Sequence[Sequence[float]], base: Sequence[Sequence[float]], *, seed: int = 0) -> Ratio:
    """The ratio of two engines measured in turn, round by round, in several openings of both.

    Each round gives log(engine / base); a drift of the machine's speed moves both and cancels. An opening's value is
    the 10 %-trimmed mean of its rounds, so that one hiccup does not decide; the estimate is the mean over openings. Two
    sessions of one file differ by a per cent or two for as long as they live (where their memory came to lie), so the
    openings are what is drawn again: a bootstrap with expanded percentiles (Hesterberg, "What Teachers Should Know
    about the Bootstrap", 2015), which makes up for the narrowness of few samples. Below `MIN_OPENINGS` even that is too
    narrow, and there is no interval.

    Args:
        engine, base: for each opening, milliseconds per round, equally many of both.
        seed: of the resampling, so that a report is repeatable.
    """
    logs = [np.log(np.asarray(own, float) / np.asarray(other, float)) for own, other in zip(engine, base, strict=True)]
    values = np.array([_trimmed(opening[None])[0] for opening in logs])
    low = high = None
    if len(values) >= MIN_OPENINGS:
        drawn = np.random.default_rng(seed).choice(values, size=(RESAMPLES, len(values)))
        low, high = _bounds(drawn.mean(axis=1), len(values))
    return Ratio(float(np.exp(values.mean())), low, high, len(values), sum(map(len, logs)))


def unpaired_ratio(engine: Sequence[float], base: Sequence[float], *, seed: int = 0) -> Ratio:
    """The ratio of two runs made at different times, from their raw samples: trimmed means of logs, by a moving-block
    bootstrap (Künsch 1989): what neighbouring samples share stays together when samples are drawn again.

    It cannot tell a slower engine from a slower machine; measure both in one run where that matters.
    """
    rng = np.random.default_rng(seed)
    first, second = _thinned(engine), _thinned(base)
    spread = _trimmed(_resampled(first, rng)) - _trimmed(_resampled(second, rng))
    fewer = min(len(first), len(second))
    low, high = _bounds(spread, fewer) if fewer > 1 else (None, None)
    middle = float(_trimmed(first[None])[0] - _trimmed(second[None])[0])
    return Ratio(float(np.exp(middle)), low, high, 1, min(len(engine), len(base)))


def _thinned(milliseconds: Sequence[float]) -> npt.NDArray[np.float64]:
    """Logs of at most MAX_SAMPLES means of neighbours: what is drawn again must fit in memory."""
    values = np.asarray(milliseconds, float)
    parts = np.array_split(values, min(len(values), MAX_SAMPLES))
    return np.log([part.mean() for part in parts])


def _bounds(estimates: npt.NDArray[np.float64], samples: int) -> tuple[float, float]:
    """The interval's ends: percentiles of log ratios, expanded as `samples` independent samples ask for."""
    normal = NormalDist()
    tail = normal.cdf(-math.sqrt(samples / (samples - 1)) * _student(samples - 1))
    low, high = np.exp(np.quantile(estimates, [tail, 1 - tail]))
    return float(low), float(high)


def _student(freedom: int) -> float:
    """The two-sided 95 % point of Student's t (Abramowitz and Stegun, 26.7.5; exact to 1 % from 3 degrees on)."""
    z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )


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
