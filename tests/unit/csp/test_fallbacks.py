"""The paths for large value sets, large tables and wide diagrams give the same sets; limits made tiny reach them."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from flextune.csp import (
    Domain,
    Le,
    Problem,
    Prod,
    Sum,
    Variable,
    compilation,
    equivalence,
    order_portfolio,
    propagation,
    states,
)
from flextune.csp.compilation import Limits
from flextune.csp.explain import has_solution
from flextune.errors import UsageError
from flextune.testing.constraint_spaces import GEMM_COUNTS, tensor_core_gemm
from flextune.testing.random_problems import brute_force, problems

_lenient = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.function_scoped_fixture]

TINY = {
    "sets": ((propagation, "SET_LIMIT", 3), (propagation, "PAIR_LIMIT", 9), (propagation, "_MATRIX_LIMIT", 9)),
    "matrices": (
        (propagation, "_MATRIX_LIMIT", 1),
        (equivalence, "_MATRIX_LIMIT", 4),
        (propagation, "_TABLE_LIMIT", 0),
    ),
    "tables": ((states, "_TABLE_LIMIT", 1), (states, "_DENSE_LIMIT", 0), (compilation, "_CHUNK", 4)),
    "race": ((order_portfolio, "_FIRST_BUDGET", 4), (order_portfolio, "_GROWTH", 2)),
}


@pytest.mark.parametrize("limits", TINY)
@settings(max_examples=200, suppress_health_check=_lenient)
@given(problem=problems())
def test_same_solutions_with_tiny_limits(monkeypatch: pytest.MonkeyPatch, limits: str, problem: Problem) -> None:
    for module, name, value in TINY[limits]:
        monkeypatch.setattr(module, name, value)
    expected = brute_force(problem)
    solutions = problem.solve()
    assert solutions.count == len(expected)
    assert {frozenset(a.items()) for a in solutions.enumerate()} == {frozenset(row.items()) for row in expected}


@pytest.mark.parametrize("limits", TINY)
def test_gemm_with_tiny_limits(monkeypatch: pytest.MonkeyPatch, limits: str) -> None:
    for module, name, value in TINY[limits]:
        monkeypatch.setattr(module, name, value)
    assert tensor_core_gemm(32, 32, 32).solve().count == GEMM_COUNTS[32]


@settings(max_examples=150, suppress_health_check=_lenient)
@given(problem=problems(max_constraints=6))
def test_beam_search_tells_whether_there_is_a_solution(monkeypatch: pytest.MonkeyPatch, problem: Problem) -> None:
    monkeypatch.setattr("flextune.csp.explain._FIRST_BEAM", 1)
    assert has_solution(problem) == bool(brute_force(problem))


def wide_problem() -> Problem:
    """Sums of powers of three: every partial sum is a state of its own."""
    names = [f"x{i}" for i in range(14)]
    variables = [Variable(name, Domain.of(0, 3**i, 2 * 3**i)) for i, name in enumerate(names)]
    total = Sum("total", tuple(names))
    square = Prod("square", ("total", "total"))
    return Problem((*variables, Variable("total"), Variable("square")), (total, square, Le("square", 7 * 10**12)))


def test_blow_up_is_a_clear_error() -> None:
    with pytest.raises(UsageError, match=r"grew past .* edges at variable .*add bounds"):
        wide_problem().solve(Limits(edges=2000, layer_edges=2000))
