import math

import numpy as np
import pytest

from flextune.csp.assignment import Assignment
from flextune.csp.problem import Problem
from flextune.search.extras import is_installed
from flextune.search.flextensor.directions import Direction, Directions
from flextune.search.flextensor.flextensor_p import FlexTensorOptions, FlexTensorPStrategy, annealed_choice
from flextune.search.flextensor.flextensor_q import FlexTensorQOptions, FlexTensorQStrategy
from flextune.testing.strategies import HUGE, example_measurement, failed_measurement, solved
from flextune.trial.measurement import Measurement, Status

needs_torch = pytest.mark.skipif(not is_installed("rl"), reason="the extra 'rl' (torch) is not installed")

SPLIT = """
var outer in {1, 2, 3, 4, 6, 12}
var middle in {1, 2, 3, 4, 6, 12}
var inner in {1, 2, 3, 4, 6, 12}
var unroll in {0, 1, 2, 4}
12 = outer * middle * inner
"""
FOLLOWING = """
var lanes in {1, 2, 4}
var rest in {1, 2, 4}
var twice in {2, 4, 8}
4 = lanes * rest
twice = lanes * 2
"""
START = Assignment({"outer": 2, "middle": 6, "inner": 1, "unroll": 1})


def timed(assignment, secs):
    return Measurement(assignment, Status.OK, (secs,))


def test_start_points_are_annealed():
    """Accepted with exp(-gamma (E* - E) / E*), or else the best is taken."""
    rng = np.random.default_rng(0)
    fitness, gamma, draws = np.array([0.2, 1.0, 0.6, 0.9]), 0.5, 40_000
    accepted = np.exp(-gamma * (1 - fitness)) / len(fitness)
    expected = accepted + np.array([0, 1 - accepted.sum(), 0, 0])
    drawn = np.bincount([annealed_choice(rng, fitness, gamma) for _ in range(draws)], minlength=4) / draws
    assert np.abs(drawn - expected).max() < 0.01
    assert {annealed_choice(rng, fitness, 1000) for _ in range(200)} == {1}
    assert {annealed_choice(rng, fitness, 0) for _ in range(200)} == {0, 1, 2, 3}


def test_default_gamma_is_the_papers():
    assert FlexTensorOptions().gamma == 0.5


def test_directions_of_a_split_and_of_single_variables():
    solutions = solved(SPLIT)
    directions = Directions(solutions.problem)
    assert directions.subspaces == (
        ("outer", "middle", "inner"), ("outer",), ("middle",), ("inner",), ("unroll",)
    )  # fmt: skip
    assert [directions.count(subspace) for subspace in range(5)] == [9, 2, 2, 2, 2]
    neighbours = solutions.neighbours(START)
    found = dict(zip(neighbours, directions.of(START, neighbours), strict=True))
    assert found[Assignment({**START, "middle": 3, "inner": 2})] == Direction(0, 1 * 3 + 2)
    assert found[Assignment({**START, "outer": 1, "middle": 12})] == Direction(0, 0 * 3 + 1)
    assert found[Assignment({**START, "unroll": 0})] == Direction(4, 0)
    assert found[Assignment({**START, "unroll": 4})] == Direction(4, 1)


def test_the_nearest_neighbour_stands_for_a_direction():
    solutions = solved(SPLIT)
    neighbours = solutions.neighbours(START)
    nearest = Directions(solutions.problem).by_direction(START, neighbours)
    reached = {direction: neighbours[index] for direction, index in nearest.items()}
    assert reached[Direction(0, 1 * 3 + 2)] == Assignment({**START, "middle": 3, "inner": 2})
    assert reached[Direction(4, 1)]["unroll"] == 2
    assert len(reached) == len(set(reached.values()))


def test_changes_that_drag_others_along_have_one_direction():
    """A change of `lanes` changes what follows from it."""
    solutions = solved(FOLLOWING)
    start = Assignment({"lanes": 2, "rest": 2, "twice": 4})
    neighbours = solutions.neighbours(start)
    directions = Directions(solutions.problem)
    assert sorted(set(map(str, neighbours))) == ["lanes=1,rest=4,twice=2", "lanes=4,rest=1,twice=8"]
    assert {direction.subspace for direction in directions.of(start, neighbours)} == {0}


def test_p_method_tries_every_direction_of_one_start_point():
    solutions = solved(SPLIT)
    strategy = FlexTensorPStrategy(
        solutions, rng=np.random.default_rng(0), default=START, options=FlexTensorOptions(warm_up=1)
    )
    strategy.tell([timed(assignment, 1.0) for assignment in strategy.ask(1)])
    asked = list(strategy.ask(100))
    neighbours = solutions.neighbours(START)
    directions = Directions(solutions.problem)
    assert set(asked) <= set(neighbours)
    found = directions.of(START, neighbours)
    assert len(asked) == len(set(found))
    chosen = [direction for assignment, direction in zip(neighbours, found, strict=True) if assignment in asked]
    assert len(set(chosen)) == len(asked)


def test_p_method_goes_further_when_it_comes_back():
    strategy = FlexTensorPStrategy(
        solved(SPLIT), rng=np.random.default_rng(0), default=START, options=FlexTensorOptions(warm_up=1, gamma=1000)
    )
    strategy.tell([timed(assignment, 1.0) for assignment in strategy.ask(1)])
    first = list(strategy.ask(100))
    strategy.tell([timed(assignment, 2.0) for assignment in first])
    second = list(strategy.ask(100))
    assert {a["unroll"] for a in first if a["unroll"] != 1} == {0, 2}
    assert {a["unroll"] for a in second if a["unroll"] != 1} == {4}


def test_failed_points_are_no_start_points():
    solutions = solved(HUGE)
    strategy = FlexTensorPStrategy(solutions, rng=np.random.default_rng(0), options=FlexTensorOptions(warm_up=8))
    first = strategy.ask(8)
    strategy.tell([failed_measurement(a) if index else timed(a, 1.0) for index, a in enumerate(first)])
    assert set(strategy.ask(100)) <= set(solutions.neighbours(first[0]))


def q_strategy(solutions, default=None, **options):
    return FlexTensorQStrategy(
        solutions, rng=np.random.default_rng(0), default=default, options=FlexTensorQOptions(device="cpu", **options)
    )


@needs_torch
def test_q_method_goes_one_step_in_every_subspace():
    solutions = solved(HUGE)
    strategy = q_strategy(solutions, warm_up=4)
    strategy.tell([example_measurement(assignment) for assignment in strategy.ask(4)])
    measured = strategy.history.assignments()
    asked = list(strategy.ask(100))
    assert len(asked) == 12
    (start,) = [s for s in measured if all(sum(a[n] != s[n] for n in s) == 1 for a in asked)]
    assert {name for a in asked for name in a if a[name] != start[name]} == set(solutions.names)


@needs_torch
def test_q_method_remembers_steps_with_their_reward():
    strategy = q_strategy(solved(SPLIT), default=START, warm_up=1)
    strategy.tell([timed(assignment, 4.0) for assignment in strategy.ask(1)])
    asked = list(strategy.ask(100))
    strategy.tell([timed(asked[0], 1.0), failed_measurement(asked[1]), *(timed(a, 4.0) for a in asked[2:])])
    strategy.tell([timed(asked[0], 1.0)])
    rewards = [step.reward for replay in strategy._replays for step in replay.transitions]
    assert sorted(rewards) == [-1.0, *[0.0] * (len(asked) - 2), 3.0]


@needs_torch
def test_q_method_learns_the_better_direction():
    """A larger value is always faster: after training every subspace goes up."""
    solutions = Problem.parse("\n".join(f"var v{i} in {{1..30}}" for i in range(4))).solve()
    strategy = q_strategy(solutions, warm_up=8, gamma=0, discount=0.5)
    for _ in range(60):
        asked = strategy.ask(100)
        strategy.tell([timed(a, math.exp(-0.2 * sum(a.values()))) for a in asked])
    middle = strategy._state(Assignment(dict.fromkeys(solutions.names, 15)))
    values = strategy.networks.values(np.tile(middle, (4, 1, 1)))[:, 0]
    down, up = values[:, 0], values[:, 1]
    assert (up > down).all()


@needs_torch
def test_epsilon_decays_to_its_least():
    strategy = q_strategy(solved(HUGE))
    assert strategy.epsilon == 0.8
    strategy._rounds = 50
    assert strategy.epsilon == pytest.approx(0.8 * math.exp(-0.5))
    strategy._rounds = 10_000
    assert strategy.epsilon == 0.1


@needs_torch
def test_q_networks_have_four_layers_of_width_64():
    strategy = q_strategy(solved(SPLIT))
    shapes = [tuple(weight.shape) for weight in strategy.networks._weights[::2]]
    assert shapes == [(5, 5, 64), (5, 64, 64), (5, 64, 64), (5, 64, 9)]
