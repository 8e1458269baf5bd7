"""Which variables decide about the time, judged from measurements alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from flextune.csp.assignment import Assignments
from flextune.csp.problem import Problem


def variance_importance(assignments: Assignments, fitness: npt.NDArray[np.float64]) -> Mapping[str, float]:
    """Per variable, the share of the fitness' variance that lies between its values (the main effect), sums to 1.

    This is Kelley's epsilon squared: the correlation ratio less what chance gives to a variable with many values when
    there are few measurements. Empty when nothing can be told apart yet.
    """
    effects = {name: _epsilon_squared(column, fitness) for name, column in assignments.columns.items()}
    total = sum(effects.values())
    return {name: effect / total for name, effect in effects.items()} if total > 0 else {}


def on_chosen(importance: Mapping[str, float], problem: Problem) -> Mapping[str, float]:
    """What auxiliary variables matter, shared equally among the variables they are computed from; the sum stays."""
    shares = dict(importance)
    for name, definition in reversed(problem.definitions.items()):
        share = shares.pop(name, 0.0)
        inputs = {each for each in definition.inputs() if isinstance(each, str)}
        for each in inputs:
            shares[each] = shares.get(each, 0.0) + share / len(inputs)
    return shares


def _epsilon_squared(values: npt.NDArray[np.int64], fitness: npt.NDArray[np.float64]) -> float:
    _, groups = np.unique(values, return_inverse=True)
    sizes = np.bincount(groups)
    free = len(fitness) - len(sizes)
    total = float(((fitness - fitness.mean()) ** 2).sum()) if len(fitness) else 0.0
    if free <= 0 or len(sizes) < 2 or total <= 0:
        return 0.0
    means = np.bincount(groups, weights=fitness) / sizes
    within = float(((fitness - means[groups]) ** 2).sum())
    return max(0.0, 1 - within / total * (len(fitness) - 1) / free)
