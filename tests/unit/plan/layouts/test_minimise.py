"""The exact minimiser against trying everything, and against OR-Tools' CP-SAT."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ortools.sat.python import cp_model

from flextune.plan.layouts.minimise import CostNetwork, minimise


@st.composite
def networks(draw: st.DrawFn, most: int = 6, forbidden: float = 0.2) -> CostNetwork:
    """Up to `most` variables of one to four values, whole costs, some pairs forbidden."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = rng.integers(1, 5, draw(st.integers(1, most)))
    pairs = [pair for pair in itertools.combinations(range(len(sizes)), 2) if rng.random() < 0.5]

    def costs(*shape: int) -> np.ndarray:
        table = rng.integers(0, 20, shape).astype(float)
        return np.where(rng.random(shape) < forbidden, math.inf, table)

    unary = tuple(rng.integers(0, 20, size).astype(float) for size in sizes)
    return CostNetwork(unary, {(i, j): costs(sizes[i], sizes[j]) for i, j in pairs})


def tried(network: CostNetwork) -> float:
    """The least cost of all assignments."""
    return min(network.cost(values) for values in itertools.product(*(range(len(each)) for each in network.unary)))


@given(networks())
@settings(max_examples=150, deadline=None)
def test_is_the_least_of_all_assignments(network: CostNetwork) -> None:
    values, least = minimise(network), tried(network)
    assert (values is None) == math.isinf(least)
    if values is not None:
        assert network.cost(values) == least


def by_cp_sat(network: CostNetwork) -> float:
    """The least cost by an independent solver, for whole costs."""
    model = cp_model.CpModel()
    chosen = [[model.new_bool_var(f"{i}={v}") for v in range(len(costs))] for i, costs in enumerate(network.unary)]
    for values in chosen:
        model.add_exactly_one(values)
    terms = [
        int(cost) * b
        for costs, values in zip(network.unary, chosen, strict=True)
        for cost, b in zip(costs, values, strict=True)
    ]
    for (i, j), table in network.pairwise.items():
        for (a, b), cost in np.ndenumerate(table):
            if math.isinf(cost):
                model.add_bool_or(chosen[i][a].negated(), chosen[j][b].negated())
                continue
            both = model.new_bool_var(f"{i}={a},{j}={b}")
            model.add_bool_or(chosen[i][a].negated(), chosen[j][b].negated(), both)
            terms.append(int(cost) * both)
    model.minimize(sum(terms))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    return solver.objective_value if solver.solve(model) == cp_model.OPTIMAL else math.inf


@given(networks(most=14, forbidden=0.05))
@settings(max_examples=15, deadline=None)
def test_is_what_cp_sat_finds(network: CostNetwork) -> None:
    values = minimise(network)
    assert (math.inf if values is None else network.cost(values)) == by_cp_sat(network)


def test_long_chains_take_no_time() -> None:
    rng = np.random.default_rng(0)
    unary = tuple(rng.random(9) for _ in range(500))
    network = CostNetwork(unary, {(i, i + 1): rng.random((9, 9)) for i in range(499)})
    values = minimise(network)
    assert values is not None
    backwards = np.zeros(9)
    for index in range(499, 0, -1):
        backwards = (network.pairwise[index - 1, index] + (unary[index] + backwards)).min(axis=1)
    assert network.cost(values) == pytest.approx((unary[0] + backwards).min())


def test_a_graph_that_is_too_wide_is_left_alone() -> None:
    wide = CostNetwork((np.zeros(4),) * 8, {pair: np.zeros((4, 4)) for pair in itertools.combinations(range(8), 2)})
    assert minimise(wide, most_entries=4**7) is None
    assert minimise(wide, most_entries=4**8) is not None
