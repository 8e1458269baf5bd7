"""What was measured, as rows to train on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from flextune.csp.assignment import Assignment, Assignments

if TYPE_CHECKING:
    from flextune.trial.measurement import Measurement

Features = npt.NDArray[np.float32]


def features(assignments: Assignments, names: Sequence[str]) -> Features:
    """Array (assignments, 2 * variables): the values as they are, then the base-2 logarithm of their size plus one.

    Tile sizes act by their ratios, flags and counts by their value; trees take what separates best.
    """
    values = assignments.matrix(names).astype(np.float64)
    return np.concatenate([values, np.copysign(np.log2(1 + np.abs(values)), values)], axis=1, dtype=np.float32)


class Dataset:
    """The latest time of every measured assignment, in the order of their first measurement."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        self._secs: dict[Assignment, float] = {}

    def __len__(self) -> int:
        return len(self._secs)

    def add(self, measurements: Sequence[Measurement]) -> None:
        for measurement in measurements:
            self._secs[measurement.assignment] = measurement.secs

    @property
    def best_secs(self) -> float:
        """The smallest time in seconds; infinity while nothing has run."""
        return min(self._secs.values(), default=math.inf)

    def rows(self) -> Features:
        return features(Assignments.of(list(self._secs), self._names), self._names)

    def throughput(self) -> npt.NDArray[np.float64]:
        """Per row, the best time divided by the row's time: 1 for the best, 0 for failures."""
        secs = np.fromiter(self._secs.values(), dtype=np.float64, count=len(self._secs))
        return self.best_secs / secs if math.isfinite(self.best_secs) else np.zeros(len(secs))
