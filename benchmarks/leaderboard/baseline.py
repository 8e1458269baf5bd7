"""What uniform random search without replacement is expected to find: exact, from the times of a space alone.

The score P relates a strategy to it, as in the methodology of Willemsen et al. (Future Generation Computer Systems
2024): 0 is random search, 1 the optimum found at once, averaged over the part of a run in which random search neither
has hardly begun nor is nearly there.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

P_POINTS = 32
_BEGUN = 0.01
_NEARLY_THERE = 0.05
_CURVE_POINTS = 400


def random_search(secs: Numbers, draws: Counts) -> tuple[Numbers, Numbers]:
    """Expected best time and fraction of optimum after so many draws; `secs` is NaN where a member failed.

    Draws that all fail leave the slowest time and a fraction of 0. The probability that the best `rank` members are all
    missed is the product over `i < rank` of `(left_i - draws) / left_i`, `left_i` members being no better than rank i.
    """
    good = np.sort(secs[~np.isnan(secs)])
    left = len(secs) - np.arange(len(good))
    best, fraction = np.empty(len(draws)), np.empty(len(draws))
    for index, count in enumerate(np.minimum(draws, len(secs))):
        with np.errstate(divide="ignore"):
            missed = np.exp(np.cumsum(np.log(np.maximum(left - count, 0) / left)))
        hit = -np.diff(missed, prepend=1.0)
        best[index] = hit @ good + missed[-1] * good[-1]
        fraction[index] = hit @ (good[0] / good)
    return best, fraction


def judged_counts(secs: Numbers, budget: int) -> Counts:
    """The numbers of evaluations at which P looks at a run.

    They begin where random search has come 1 % of the way from the median to the optimum, and end where 5 % are left,
    or at the budget.
    """
    counts = np.unique(np.geomspace(1, budget, _CURVE_POINTS).astype(np.int64))
    expected = random_search(secs, counts)[0]
    median, optimum = float(np.nanmedian(secs)), float(np.nanmin(secs))
    way = median - optimum
    first = int(counts[np.argmax(expected <= median - _BEGUN * way)])
    reached = expected <= optimum + _NEARLY_THERE * way
    last = max(first, int(counts[np.argmax(reached)]) if reached.any() else budget)
    return np.unique(np.linspace(first, last, P_POINTS).round().astype(np.int64))


def scores_above_random(secs: Numbers, found: Numbers, counts: Counts) -> Numbers:
    """P of each run; `found` (runs, counts) is the true time of the best so far, NaN before there is one."""
    baseline = random_search(secs, counts)[0]
    times = np.where(np.isnan(found), np.nanmax(secs), found)
    optimum = np.nanmin(secs)
    return np.asarray(((baseline - times) / (baseline - optimum)).mean(axis=1))
