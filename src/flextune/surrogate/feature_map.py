"""Assignments as points of the unit cube, in which distance means something."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
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
WIDE = 24
"""So many values at equal distances may as well act by their differences: measurements tell."""


@dataclass(frozen=True, slots=True)
class Scale:
    """From the values of one variable to [0, 1]: of the values themselves, or of log2(shift + value)."""

    shift: int | None
    low: float
    high: float

    @classmethod
    def even(cls, lowest: int, highest: int) -> Scale:
        """By differences."""
        return cls(None, float(lowest), float(highest))

    @classmethod
    def of(cls, lowest: int, highest: int) -> Scale:
        """By ratios where the values reach far enough for that."""
        if lowest > 0 and highest >= _RATIO * lowest:
            return cls(0, float(np.log2(lowest)), float(np.log2(highest)))
        if lowest == 0 and highest >= _RANGE:
            return cls(1, 0.0, float(np.log2(1 + highest)))
        return cls.even(lowest, highest)

    def scaled(self, values: Array) -> Array:
        shown = values if self.shift is None else np.log2(np.maximum(values + self.shift, 0.5))
        result: Array = (shown - self.low) / (self.high - self.low)
        return result


class FeatureMap:
    """One feature per variable of `names` that has a domain and more than one value in the set; flags are 0 and 1."""

    def __init__(self, scales: Mapping[str, Scale]) -> None:
        self._scales = dict(scales)

    @classmethod
    def of_set(cls, names: Sequence[str], solutions: SolutionSet) -> FeatureMap:
        """Sizes, in doubt, by their ratios."""
        found = _values(names, solutions)
        return cls({name: Scale.of(values[0], values[-1]) for name, values in found.items()})

    @classmethod
    def choices(cls, names: Sequence[str], solutions: SolutionSet) -> tuple[FeatureMap, ...]:
        """`of_set`, and where it makes a difference, the same with evenly spaced variables by their differences."""
        found = _values(names, solutions)
        by_ratio = {name: Scale.of(values[0], values[-1]) for name, values in found.items()}
        even = {name: Scale.even(values[0], values[-1]) for name, values in found.items() if _is_even(values)}
        by_difference = {**by_ratio, **even}
        return (cls(by_ratio),) if by_difference == by_ratio else (cls(by_ratio), cls(by_difference))

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


def _values(names: Sequence[str], solutions: SolutionSet) -> dict[str, list[int]]:
    """Of each variable with a choice its values, in their order."""
    chosen = {variable.name for variable in solutions.problem.variables if variable.domain is not None}
    found = {name: sorted(solutions.marginal(name)) for name in names if name in chosen}
    return {name: values for name, values in found.items() if len(values) > 1}


def _is_even(values: Sequence[int]) -> bool:
    return len(values) >= WIDE and len({after - before for before, after in pairwise(values)}) == 1
