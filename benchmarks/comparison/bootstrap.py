"""Means with confidence intervals, by resampling the seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

RESAMPLES = 10_000
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and the bounds of its 95 % confidence interval."""

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def mean_interval(groups: Sequence[Numbers], rng: np.random.Generator) -> Interval:
    """The mean over groups (workloads, spaces) of each group's mean over seeds; seeds are resampled within groups.

    One seed says nothing about its certainty: the interval is then without bounds.
    """
    mean = float(np.mean([group.mean() for group in groups]))
    if min(map(len, groups)) < 2:
        return Interval(mean, -np.inf, np.inf)
    return _interval(mean, np.mean([_resampled_means(group, rng) for group in groups], axis=0))


def difference_interval(
    first: Sequence[Numbers], second: Sequence[Numbers], rng: np.random.Generator, *, paired: bool
) -> Interval:
    """The mean of `first` minus that of `second`, group by group.

    `paired` where a seed of both was measured side by side: then the same seeds are resampled for both.
    """
    if paired:
        return mean_interval([a - b for a, b in zip(first, second, strict=True)], rng)
    resampled = [_resampled_means(a, rng) - _resampled_means(b, rng) for a, b in zip(first, second, strict=True)]
    mean = float(np.mean([a.mean() - b.mean() for a, b in zip(first, second, strict=True)]))
    return _interval(mean, np.mean(resampled, axis=0))


def median_interval(values: Numbers, rng: np.random.Generator) -> Interval:
    """The median, in place of the mean; values may be infinite (never reached)."""
    drawn = np.sort(values[rng.integers(0, len(values), (RESAMPLES, len(values)))], axis=1)
    # an infinite middle stays infinite; the mean of the two middle ones otherwise
    middle = drawn[:, (len(values) - 1) // 2], drawn[:, len(values) // 2]
    medians = np.where(np.isinf(middle[1]), middle[1], (middle[0] + middle[1]) / 2)
    low, high = np.quantile(medians, _quantiles(), method="inverted_cdf")
    ordered = np.sort(values)
    pair = ordered[(len(values) - 1) // 2], ordered[len(values) // 2]
    return Interval(float(np.inf if np.isinf(pair[1]) else (pair[0] + pair[1]) / 2), float(low), float(high))


def _resampled_means(values: Numbers, rng: np.random.Generator) -> Numbers:
    return np.asarray(values[rng.integers(0, len(values), (RESAMPLES, len(values)))].mean(axis=1))


def _interval(mean: float, resampled: Numbers) -> Interval:
    low, high = np.quantile(resampled, _quantiles())
    return Interval(mean, float(low), float(high))


def _quantiles() -> tuple[float, float]:
    return (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2
