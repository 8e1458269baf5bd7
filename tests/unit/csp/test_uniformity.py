"""Samples are uniform: chi-square over small random problems, all problems together."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from flextune.csp import Domain, In, Problem, Prod, Sum, Variable
from flextune.csp.assignment import Assignments
from flextune.csp.solutions import SolutionSet, random_ranks
from flextune.errors import UsageError
from flextune.testing.constraint_spaces import tensor_core_gemm
from flextune.testing.random_problems import problems

_lenient = [HealthCheck.too_slow, HealthCheck.filter_too_much]


def deviations(observed: np.ndarray, expected: np.ndarray) -> float:
    """Chi-square as standard deviations from its mean (Wilson and Hilferty's cube root)."""
    freedom = len(observed) - 1
    chi_square = float(((observed - expected) ** 2 / expected).sum())
    return ((chi_square / freedom) ** (1 / 3) - (1 - 2 / (9 * freedom))) / math.sqrt(2 / (9 * freedom))


def counts(sample: Assignments, solutions: SolutionSet) -> np.ndarray:
    """How often each of the solutions is in the sample, which holds nothing else."""
    names = solutions.names
    position = {tuple(map(each.__getitem__, names)): rank for rank, each in enumerate(solutions.enumerate())}
    rows, times = np.unique(sample.matrix(names), axis=0, return_counts=True)
    observed = np.zeros(solutions.count)
    observed[[position[tuple(row)] for row in rows.tolist()]] = times
    return observed


def sampled_counts(solutions: SolutionSet, seed: int, per_solution: int) -> np.ndarray:
    return counts(solutions.sample(np.random.default_rng(seed), per_solution * solutions.count), solutions)


@settings(max_examples=100, suppress_health_check=_lenient)
@given(problems(max_constraints=2), st.integers(0, 2**32))
def test_every_solution_is_as_likely(problem: Problem, seed: int) -> None:
    solutions = problem.solve()
    assume(1 < solutions.count <= 400)
    observed = sampled_counts(solutions, seed, 40)
    assert abs(deviations(observed, np.full(solutions.count, 40.0))) < 5.5  # 1 in 10^7 for a uniform sampler


@pytest.mark.slow
@settings(max_examples=100, suppress_health_check=_lenient)
@given(problems(max_constraints=2), st.data())
def test_each_restriction_has_its_uniform_sample(problem: Problem, data: st.DataObject) -> None:
    solutions = problem.solve()
    assume(0 < solutions.count <= 200)
    names = [variable.name for variable in problem.variables if not variable.auxiliary]
    couples = solutions.sample(np.random.default_rng(data.draw(st.integers(0, 2**32))), 4)
    kept = data.draw(st.lists(st.sampled_from(names), unique=True))
    restrictions = [[In(name, couples.columns[name][row : row + 2].tolist()) for name in kept] for row in range(3)]
    sample = solutions.sample_each(np.random.default_rng(7), [each for each in restrictions for _ in range(2000)])
    for number, restriction in enumerate(restrictions):
        restricted = solutions.restrict(restriction)
        observed = counts(sample[2000 * number : 2000 * (number + 1)], restricted)
        if restricted.count > 1:
            assert abs(deviations(observed, np.full(restricted.count, 2000 / restricted.count))) < 5.5


def test_a_restriction_without_solution_is_named() -> None:
    solutions = Problem((Variable("a", Domain((1, 2))), Variable("b", Domain((3, 4))))).solve()
    with pytest.raises(UsageError, match=r"under a in \{5\}"):
        solutions.sample_each(np.random.default_rng(0), [[In("a", (1,))], [In("a", (5,)), In("b", (3,))]])


def test_uniform_after_restriction() -> None:
    names = ("a", "b", "c", "d")
    variables = [Variable(name, Domain.divisors(48)) for name in names]
    problem = Problem((*variables, Variable("s")), (Prod(48, names), Sum("s", ("a", "d"))))
    solutions = problem.solve().restrict([In("a", (1, 2, 6)), In("c", (1, 2, 3, 4))])
    assert solutions.count > 20
    assert abs(deviations(sampled_counts(solutions, 3, 60), np.full(solutions.count, 60.0))) < 4


@pytest.mark.parametrize("name", ["wm", "i0", "i2", "k1", "off_a", "pos_b", "Ti"])
def test_sampled_marginals_of_a_large_space(name: str) -> None:
    solutions = tensor_core_gemm(1024, 1024, 1024).solve()
    n = 20_000
    sample = solutions.sample(np.random.default_rng(11), n).columns[name]
    marginal = solutions.marginal(name)
    expected = np.array(list(marginal.values()), dtype=float) * n / solutions.count
    observed = np.array([(sample == value).sum() for value in marginal], dtype=float)
    common = expected >= 5
    assert abs(deviations(observed[common], expected[common] * observed[common].sum() / expected[common].sum())) < 4.5


def test_distinct_samples_are_uniform() -> None:
    solutions = Problem((Variable("x", Domain.range(0, 9)),)).solve()
    rng = np.random.default_rng(4)
    observed = np.zeros(10)
    for _ in range(3000):
        observed[solutions.sample_distinct(rng, 3).columns["x"]] += 1
    # without replacement the counts vary less than independent draws: by (N - n) / (N - 1) = 7/9
    assert ((observed - 900) ** 2 / 900).sum() < 9 * 7 / 9 * 3


def test_ranks_past_64_bits_cover_all_digits() -> None:
    count = 3 * 2**70
    ranks = random_ranks(np.random.default_rng(0), count, 3000)
    assert all(0 <= rank < count for rank in ranks)
    thirds = np.bincount([int(rank // 2**70) for rank in ranks], minlength=3)
    assert abs(deviations(thirds.astype(float), np.full(3, 1000.0))) < 4


def test_same_seed_same_sample() -> None:
    solutions = tensor_core_gemm(32, 32, 32).solve()
    first, second = (solutions.sample(np.random.default_rng(9), 50) for _ in range(2))
    assert list(first) == list(second)
