"""What was measured: the latest time of every assignment, as strategies and cost models see it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice

import numpy as np
import numpy.typing as npt

from flextune.csp.assignment import Assignment, Assignments
from flextune.trial.measurement import Measurement

Fitness = npt.NDArray[np.float64]


class History:
    """The latest time of every assignment told, in the order they were first told."""

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

    def secs_of(self, assignment: Assignment) -> float | None:
        """The time of one assignment in seconds, infinity if it failed; None if it was not told."""
        return self._secs.get(assignment)

    def assignments(self, begin: int = 0) -> Assignments:
        """From position `begin` on."""
        return Assignments.of(list(islice(self._secs, begin, None)), self._names)

    def secs(self) -> npt.NDArray[np.float64]:
        """Per assignment, its time in seconds; infinity for failures."""
        return np.fromiter(self._secs.values(), dtype=np.float64, count=len(self._secs))

    def fitness(self) -> Fitness:
        """Per assignment, the best time divided by its time: 1 for the best, 0 for failures."""
        secs, best_secs = self.secs(), self.best_secs
        return best_secs / secs if math.isfinite(best_secs) else np.zeros(len(secs))

    def best(self, n: int) -> npt.NDArray[np.intp]:
        """Positions of the up to `n` fastest ones that ran, fastest first."""
        fitness = self.fitness()
        order = np.argsort(-fitness, kind="stable")[:n]
        return order[fitness[order] > 0]
