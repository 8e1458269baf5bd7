"""Assignments as points of the unit cube, in which distance means something."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from flextune.csp.assignment import Assignments
from flextune.surrogate.covariance import Array

if TYPE_CHECKING:
    from flextune.csp.solutions import SolutionSet

_RATIO = 4
"""Positive values that differ at least by this factor are taken to act by their ratios."""
_RANGE = 8
"""So are values from zero on that reach at least this far."""


@dataclass(frozen=True, slots=True)
class Scale:
    """From the values of one variable to [0, 1]: of the values themselves, or of log2(shift + value)."""

    shift: int | None
    low: float
    high: float

    @classmethod
    def of(cls, lowest: int, highest: int) -> Scale:
        if lowest > 0 and highest >= _RATIO * lowest:
            return cls(0, float(np.log2(lowest)), float(np.log2(highest)))
        if lowest == 0 and highest >= _RANGE:
            return cls(1, 0.0, float(np.log2(1 + highest)))
        return cls(None, float(lowest), float(highest))

    def scaled(self, values: Array) -> Array:
        shown = values if self.shift is None else np.log2(np.maximum(values + self.shift, 0.5))
        result: Array = (shown - self.low) / (self.high - self.low)
        return result


class FeatureMap:
    """One feature per variable of `names` that has a domain and more than one value in the set; flags are 0 and 1."""

    def __init__(self, names: Sequence[str], solutions: SolutionSet) -> None:
        chosen = {variable.name for variable in solutions.problem.variables if variable.domain is not None}
        found = {name: solutions.marginal(name) for name in names if name in chosen}
        self._scales = {name: Scale.of(min(found[name]), max(found[name])) for name in found if len(found[name]) > 1}

    @property
    def names(self) -> tuple[str, ...]:
        """The variables that are features, in their order."""
        return tuple(self._scales)

    def of(self, assignments: Assignments) -> Array:
        """Array (assignments, features)."""
        x = np.empty((len(assignments), len(self._scales)))
        for index, (name, scale) in enumerate(self._scales.items()):
            x[:, index] = scale.scaled(assignments.columns[name].astype(np.float64))
        return x
