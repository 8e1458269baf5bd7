import math
import time

import numpy as np
import pytest

from flextune.csp.problem import Problem
from flextune.search.registry import create_strategy
from flextune.trial.measurement import Measurement, Status

NAMES = ("auto", "gaussian-process")
TWO_TO_27 = "\n".join(f"var v{i} in {{1, 2, 4, 8, 16, 32, 64, 128}}" for i in range(9))


def measured(assignment) -> Measurement:
    """A bowl in the logarithms with one flank that fails."""
    logs = [math.log2(value) for value in assignment.values()]
    if logs[0] + logs[1] > 11:
        return Measurement(assignment, Status.RUN_ERROR, error="out of registers")
    return Measurement(
        assignment, Status.OK, (1e-3 * (1 + sum(0.1 * (k + 1) * (x - 4) ** 2 for k, x in enumerate(logs))),)
    )


def best_after(name: str, trials: int, seed: int) -> float:
    search = create_strategy(name, Problem.parse(TWO_TO_27).solve(), rng=np.random.default_rng(seed))
    best = math.inf
    for _ in range(trials):
        measurement = measured(search.ask(1)[0])
        best = min(best, measurement.secs)
        search.tell([measurement])
    return best


@pytest.mark.parametrize("name", NAMES)
def test_is_far_better_than_random_on_a_large_space(name):
    assert best_after(name, 60, 0) < 0.5 * best_after("random", 60, 0)


@pytest.mark.parametrize("name", NAMES)
def test_asking_is_quick(name):
    search = create_strategy(name, Problem.parse(TWO_TO_27).solve(), rng=np.random.default_rng(0))
    taken = []
    for _ in range(40):
        begin = time.perf_counter()
        (assignment,) = search.ask(1)
        taken.append(time.perf_counter() - begin)
        search.tell([measured(assignment)])
    assert sorted(taken)[20] < 0.05


def test_rounds_are_as_large_as_wanted():
    options = {"round_size": "8", "start": "8"}
    solutions = Problem.parse(TWO_TO_27).solve()
    search = create_strategy("auto", solutions, rng=np.random.default_rng(0), options=options)
    for _ in range(4):
        asked = search.ask(100)
        assert 1 <= len(asked) <= 8  # fewer while the opening waits for some that run
        search.tell([measured(assignment) for assignment in asked])
