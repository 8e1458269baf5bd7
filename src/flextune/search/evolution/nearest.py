"""What a strategy goes by without a cost model: the measured assignments most like the unmeasured ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from flextune.csp.assignment import Assignments
from flextune.search.evolution.importance import variance_importance
from flextune.trial.history import Fitness, History

if TYPE_CHECKING:
    from flextune.trial.measurement import Measurement

_NEIGHBOURS = 5
_EVERY_VARIABLE = 0.3
"""Weight shared by all variables besides their importance, which is uncertain."""
_LEAST_DISTANCE = 1e-3


class NearestRanking:
    """A `Ranking` over a strategy's history, judged by the variables `names`.

    The prediction is the mean fitness of the five nearest measured ones, weighted by the inverse of their distance; a
    measured one is its own nearest. The distance is the sum over the variables of their logarithms' difference in
    standard deviations, each weighted by the variable's importance: its main effect on the measured fitness.
    """

    def __init__(self, history: History, names: Sequence[str]) -> None:
        self._history = history
        self._names = tuple(names)

    def predict(self, assignments: Assignments) -> Fitness:
        fitness = self._history.fitness()
        if not len(fitness):
            return np.zeros(len(assignments))
        distances = self._distances(assignments, self._history.assignments())
        nearest = np.argpartition(distances, min(_NEIGHBOURS, len(fitness)) - 1, axis=1)[:, :_NEIGHBOURS]
        weights = 1 / np.take_along_axis(distances, nearest, axis=1)
        predicted: Fitness = (fitness[nearest] * weights).sum(axis=1) / weights.sum(axis=1)
        return predicted

    def importance(self) -> Mapping[str, float]:
        told = self._history.assignments()
        chosen = Assignments({name: told.columns[name] for name in self._names})
        return variance_importance(chosen, self._history.fitness())

    def update(self, measurements: Sequence[Measurement]) -> None:
        """Nothing to do: the strategy keeps the history."""

    def _distances(self, assignments: Assignments, measured: Assignments) -> npt.NDArray[np.float64]:
        importance = self.importance()
        distances = np.full((len(assignments), len(measured)), _LEAST_DISTANCE)
        for name in self._names:
            known, asked = _logarithm(measured.columns[name]), _logarithm(assignments.columns[name])
            weight = importance.get(name, 0.0) + _EVERY_VARIABLE / len(self._names)
            distances += weight / (known.std() + 1e-9) * np.abs(asked[:, None] - known)
        return distances


def _logarithm(column: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return np.asarray(np.copysign(np.log2(1 + np.abs(column)), column), dtype=np.float64)
