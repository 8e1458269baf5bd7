import math

import numpy as np
import pytest

from flextune.csp.problem import Problem
from flextune.search.strategy_registry import create_strategy
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
def test_the_default_and_what_is_far_from_it_are_one_round(name):
    """Asked for one by one, they are the same ones."""
    solutions = Problem.parse(TWO_TO_27).solve()
    default = solutions.unrank(0)
    asked = []
    for n in (100, 1):
        search = create_strategy(name, solutions, rng=np.random.default_rng(0), options={"start": "4"}, default=default)
        asked.append([assignment for _ in range(4 if n == 1 else 1) for assignment in search.ask(n)])
    assert len(set(asked[0])) == 4
    assert asked[0][0] == default
    assert asked[0] == asked[1]


def test_what_is_known_already_takes_the_place_of_the_opening():
    solutions = Problem.parse(TWO_TO_27).solve()
    default, known = solutions.unrank(0), [solutions.unrank(index) for index in (10, 10_000, 10_000_000, 100_000_000)]
    options = {"start": "4", "round_size": "8"}
    search = create_strategy("auto", solutions, rng=np.random.default_rng(0), options=options, default=default)
    search.tell([measured(assignment) for assignment in known])
    assert search.ask(100) == [default]
    search.tell([measured(default)])
    assert len(search.ask(100)) == 8


def test_rounds_are_as_large_as_wanted():
    options = {"round_size": "8", "start": "8"}
    solutions = Problem.parse(TWO_TO_27).solve()
    search = create_strategy("auto", solutions, rng=np.random.default_rng(0), options=options)
    for _ in range(4):
        asked = search.ask(100)
        assert 1 <= len(asked) <= 8  # fewer while the initial design waits for some that run
        search.tell([measured(assignment) for assignment in asked])
