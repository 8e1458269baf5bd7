"""Spaces with exactly known sizes, and OR-Tools as an independent witness."""

from __future__ import annotations

import numpy as np
import pytest

from flextune.csp import Assignment, Domain, Eq, In, Le, Problem, Prod, Sum, Variable
from flextune.testing.constraint_spaces import (
    CONV3D_COUNTS,
    CONV3D_SHAPE,
    GEMM_COUNTS,
    conv3d,
    tensor_core_gemm,
    vnni_gemm,
)
from flextune.testing.cp_sat import enumerated


@pytest.mark.parametrize("size", GEMM_COUNTS)
def test_gemm_counts(size: int) -> None:
    assert tensor_core_gemm(size, size, size).solve().count == GEMM_COUNTS[size]


@pytest.mark.slow
@pytest.mark.parametrize("levels", CONV3D_COUNTS)
def test_conv3d_counts(levels: int) -> None:
    solutions = conv3d(CONV3D_SHAPE, levels).solve()
    assert solutions.count == CONV3D_COUNTS[levels]
    sample = solutions.sample(np.random.default_rng(0), 2000)
    assert solutions.contains_many(sample).all()


def test_order_of_declaration_changes_nothing() -> None:
    problem = tensor_core_gemm(1024, 1024, 1024)
    rng = np.random.default_rng(5)
    variables = tuple(problem.variables[i] for i in rng.permutation(len(problem.variables)))
    constraints = tuple(problem.constraints[i] for i in rng.permutation(len(problem.constraints)))
    assert Problem(variables, constraints).solve().count == GEMM_COUNTS[1024]


def test_gemm_ranks_samples_and_restriction() -> None:
    solutions = tensor_core_gemm(1024, 1024, 1024).solve()
    rng = np.random.default_rng(1)
    sample = solutions.sample(rng, 300)
    assert solutions.contains_many(sample).all()
    for assignment in sample[:20]:
        assert solutions.unrank(solutions.rank(assignment)) == assignment
    pair = sample[0], sample[1]
    names = ("wm", "i1", "j2", "vec_b")
    restricted = solutions.restrict([In(name, (pair[0][name], pair[1][name])) for name in names])
    assert pair[0] in restricted
    assert pair[1] in restricted
    again = restricted.problem.solve()
    assert restricted.count == again.count
    inside = restricted.sample(rng, 500)
    assert again.contains_many(inside).all()
    assert all(set(np.unique(inside.columns[name])) <= {pair[0][name], pair[1][name]} for name in names)


def test_gemm_marginals_add_up_and_agree_with_restriction() -> None:
    solutions = tensor_core_gemm(64, 64, 64).solve()
    for name in ("wm", "i2", "Ti", "shared_bytes", "Ka"):
        marginal = solutions.marginal(name)
        assert sum(marginal.values()) == solutions.count
        value = max(marginal, key=lambda key: marginal[key])
        assert solutions.restrict([Eq(name, value)]).count == marginal[value]


@pytest.mark.slow
@pytest.mark.parametrize(
    "problem",
    [
        pytest.param(vnni_gemm(8, 64, 32), id="vnni-gemm"),
        pytest.param(
            tensor_core_gemm(32, 32, 32).with_constraints([Eq("wm", 8), Le("i1", 1), In("off_a", (0, 8))]), id="gemm"
        ),
    ],
)
def test_same_solutions_as_or_tools(problem: Problem) -> None:
    solutions = problem.solve()
    expected = enumerated(problem)
    assert 1000 < solutions.count == len(expected)
    assert set(expected) == set(solutions.enumerate())


def test_counts_and_ranks_past_64_bits() -> None:
    free = tuple(Variable(f"x{i}", Domain.range(0, 999)) for i in range(30))
    solutions = Problem(free).solve()
    assert solutions.count == 1000**30
    last = solutions.unrank(solutions.count - 1)
    assert set(last.values()) == {999}
    assert solutions.rank(last) == solutions.count - 1
    middle = 123456789 * 10**70
    assert solutions.rank(solutions.unrank(middle)) == middle
    assert len(solutions.sample_distinct(np.random.default_rng(0), 50)) == 50


def test_one_part_past_64_bits() -> None:
    names = [f"x{i}" for i in range(60)]
    variables = [Variable(name, Domain.range(0, 3)) for name in names]
    problem = Problem((*variables, Variable("s")), (Sum("s", tuple(names)), Le("s", 100)))
    solutions = problem.solve()
    ways = np.array([1], dtype=object)
    for _ in names:
        ways = np.convolve(ways, np.ones(4, dtype=object))
    assert solutions.count == sum(ways[:101]) > 2**64
    assert solutions.marginal("s") == {total: ways[total] for total in range(101)}
    rng = np.random.default_rng(2)
    sample = solutions.sample(rng, 200)
    assert solutions.contains_many(sample).all()
    for assignment in sample[:10]:
        assert solutions.unrank(solutions.rank(assignment)) == assignment
    assert abs(np.mean(sample.columns["s"]) - 86) < 3


def test_independent_parts_are_kept_apart() -> None:
    variables: list[Variable] = []
    constraints: list[Prod] = []
    for part in "abcdef":
        names = tuple(f"{part}{i}" for i in range(4))
        variables += [Variable(name, Domain.divisors(2**20)) for name in names]
        constraints.append(Prod(2**20, names))
    solutions = Problem(tuple(variables), tuple(constraints)).solve()
    assert solutions.count == 1771**6
    assignment = solutions.sample(np.random.default_rng(0), 1)[0]
    assert isinstance(assignment, Assignment)
    assert assignment in solutions
