"""Small recorded spaces for the tests."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

from benchmarks.leaderboard.space import RecordedSpace
from flextune.csp.parameters import Parameters
from flextune.trial.measurement import Status
from flextune.trial.tabular import TabularSpace, TabularTrial


def recorded(secs_of: Callable[[int, int], float], size: int = 6, cost_secs: float = 2.0) -> RecordedSpace:
    """A space of `size` times `size` members over a and b; a time that is not finite is a failure.

    Each has two repeats, 10 % above and below its time, and costs `cost_secs`, half of them for the build.
    """
    values = [1 << exponent for exponent in range(size)]
    parameters = Parameters.of({"a": values, "b": values})
    trials = tuple(_trial(parameters, a, b, secs_of(a, b), cost_secs) for a, b in itertools.product(values, values))
    return RecordedSpace("made", TabularSpace("made", parameters, trials))


def _trial(parameters: Parameters, a: int, b: int, secs: float, cost_secs: float) -> TabularTrial:
    assignment = parameters.encode({"a": a, "b": b})
    half = cost_secs / 2
    if not math.isfinite(secs):
        return TabularTrial(assignment, Status.RUN_ERROR, (), "killed", half, half)
    return TabularTrial(assignment, Status.OK, (0.9 * secs, 1.1 * secs), "", half, half)


def bowl(a: int, b: int) -> float:
    """Best at a = 8, b = 4; a = 1 fails."""
    return math.inf if a == 1 else 1e-3 * (1 + abs(math.log2(a) - 3) + 0.5 * abs(math.log2(b) - 2))
