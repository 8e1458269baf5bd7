"""A part of a search space that is small enough to be measured completely, chosen by a rule that knows no times."""

from __future__ import annotations

import math
from collections.abc import Mapping

from flextune.csp.constraint import In
from flextune.csp.solutions import SolutionSet
from flextune.errors import UsageError

Values = dict[str, tuple[int, ...]]

_LEAST_VALUES = 3
"""A variable is not thinned out below this; one that has no more than this keeps all."""


def restricted(solutions: SolutionSet, at_most: int) -> SolutionSet:
    """At most so many members: those with certain values, spread evenly by ratio, of each variable.

    One value goes at a time, until few enough members are left: of the variable that has the most values, the one that
    is closest to its neighbours, by the ratio of the one above to the one below. The least and the largest value stay.
    Raises `UsageError` if no variable has a value to spare.
    """
    chosen = [variable.name for variable in solutions.problem.variables if variable.domain is not None]
    while solutions.count > at_most:
        values = {name: tuple(solutions.marginal(name)) for name in chosen}
        name = max(chosen, key=lambda each: len(values[each]))
        if len(values[name]) <= _LEAST_VALUES:
            raise UsageError(
                f"{solutions.count} members are left, and no variable has a value to spare: raise the limit"
            )
        solutions = solutions.restrict([In(name, thinned(values[name]))])
    return solutions


def thinned(values: tuple[int, ...]) -> tuple[int, ...]:
    """Without the value that is closest to its neighbours; the first one where several are.

    >>> thinned((1, 2, 4, 5, 8))
    (1, 2, 4, 8)
    """
    spread = {inner: _ratio(below, above) for below, inner, above in zip(values, values[1:], values[2:], strict=False)}
    closest = min(spread, key=spread.__getitem__)
    return tuple(value for value in values if value != closest)


def _ratio(below: int, above: int) -> float:
    return math.inf if below <= 0 else above / below


def varying(solutions: SolutionSet) -> tuple[str, ...]:
    """The variables to choose that have more than one value left, in the problem's order."""
    chosen = (variable.name for variable in solutions.problem.variables if variable.domain is not None)
    return tuple(name for name in chosen if len(solutions.marginal(name)) > 1)


def values_of(solutions: SolutionSet) -> Mapping[str, tuple[int, ...]]:
    """The values of each of the varying variables."""
    return {name: tuple(solutions.marginal(name)) for name in varying(solutions)}
