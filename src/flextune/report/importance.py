"""Which variables of a schedule mattered: the share of the variance of the logarithm of time that each one explains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEAST_TRIALS = 8
"""With fewer of them nothing is said."""

Floats = np.ndarray[tuple[int], np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Importance:
    """One variable by itself: shares of several may overlap, and sum to more or less than one."""

    variable: str
    explained: float
    """From 0 to 1, corrected for the number of values (omega squared), so that chance alone gives about 0."""
    values: int
    """Different ones that were measured."""


def importances(names: Sequence[str], rows: Sequence[Sequence[object]], secs: Sequence[float]) -> list[Importance]:
    """Of the variables with several values, the most important first; `rows` hold the values of each trial in `secs`.

    Empty for few trials, and where all took the same time.
    """
    if len(secs) < LEAST_TRIALS:
        return []
    logs = np.log(np.asarray(secs, dtype=np.float64))
    if not np.ptp(logs) > 0:
        return []
    found = [_importance(name, [row[place] for row in rows], logs) for place, name in enumerate(names)]
    return sorted((each for each in found if each is not None), key=lambda each: -each.explained)


def _importance(name: str, column: Sequence[object], logs: Floats) -> Importance | None:
    numbers = {value: number for number, value in enumerate(dict.fromkeys(column))}
    groups, trials = len(numbers), len(logs)
    if not 1 < groups < trials:
        return None
    members = np.array([numbers[value] for value in column])
    counts = np.bincount(members, minlength=groups)
    means = np.bincount(members, weights=logs, minlength=groups) / counts
    between = float(np.sum(counts * (means - logs.mean()) ** 2))
    total = float(np.sum((logs - logs.mean()) ** 2))
    within = (total - between) / (trials - groups)
    return Importance(name, min(1.0, max(0.0, (between - (groups - 1) * within) / (total + within))), groups)
