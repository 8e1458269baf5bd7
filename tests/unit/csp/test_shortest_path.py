"""The cheapest solution, against a look at all of them."""

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from flextune.csp import shortest_path
from flextune.csp.assignment import Assignments
from flextune.csp.problem import Problem
from flextune.csp.solutions import SolutionSet
from flextune.errors import UsageError
from flextune.testing.random_problems import problems
from flextune.testing.strategies import HUGE, SMALL, SPLITS, solved


def random_costs(solutions, rng, rows):
    chosen = [variable for variable in solutions.problem.variables if variable.domain is not None]
    return {variable.name: rng.random((rows, len(variable.domain))) for variable in chosen}


def total(solutions, costs, row, assignment):
    domains = {variable.name: variable.domain for variable in solutions.problem.variables}
    return sum(costs[name][row, domains[name].values.index(assignment[name])] for name in costs)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(problems(), st.integers(0, 99))
def test_no_solution_is_cheaper(problem, seed):
    solutions = problem.solve()
    assume(solutions.count)
    costs = random_costs(solutions, np.random.default_rng(seed), 3)
    found = solutions.cheapest(costs)
    assert solutions.contains_many(found).all()
    for row in range(3):
        least = min(total(solutions, costs, row, assignment) for assignment in solutions.enumerate())
        assert total(solutions, costs, row, found[row]) == pytest.approx(least)


def test_rows_of_a_table():
    rng = np.random.default_rng(0)
    rows = Assignments({"a": rng.integers(0, 9, 300), "b": rng.integers(-50, 50, 300), "c": rng.integers(0, 3, 300)})
    solutions = SolutionSet.of_rows(rows)
    costs = random_costs(solutions, rng, 20)
    for row, found in enumerate(solutions.cheapest(costs)):
        least = min(total(solutions, costs, row, assignment) for assignment in solutions.enumerate())
        assert total(solutions, costs, row, found) == pytest.approx(least)


def test_free_variables_and_ties_take_the_first_in_rank_order():
    solutions = solved(HUGE)
    cost = np.zeros((2, 10))
    cost[0, :4] = 1
    found = solutions.cheapest({"v3": cost})
    assert solutions.rank(found[0]) == 4 * 10**8
    assert solutions.rank(found[1]) == 0


def test_many_rows_are_as_good_as_one():
    solutions = solved(SPLITS)
    costs = random_costs(solutions, np.random.default_rng(0), 40)
    together = solutions.cheapest(costs)
    for row in range(40):
        alone = solutions.cheapest({name: cost[row : row + 1] for name, cost in costs.items()})
        assert alone[0] == together[row]


def test_many_rows_are_taken_in_steps(monkeypatch):
    solutions, rng = solved(SMALL), np.random.default_rng(0)
    costs = random_costs(solutions, rng, 50)
    together = solutions.cheapest(costs)
    monkeypatch.setattr(shortest_path, "_EDGES_AT_ONCE", 40)
    assert list(solutions.cheapest(costs)) == list(together)


def test_no_rows_and_no_solutions():
    assert len(solved(SMALL).cheapest({"unroll": np.zeros((0, 4))})) == 0
    with pytest.raises(UsageError, match="no solution"):
        Problem.parse("var a in {1, 2}\na == 3").solve().cheapest({"a": np.zeros((1, 2))})
