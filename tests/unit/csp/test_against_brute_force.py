"""Agreement with brute force on thousands of random problems over all constraint kinds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from flextune.csp import Constraint, In, Problem
from flextune.csp.neighbours import splits
from flextune.testing.random_problems import brute_force, constraints, problems

_lenient = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
many = settings(max_examples=600, suppress_health_check=_lenient)
some = settings(max_examples=150, suppress_health_check=_lenient)


def rows(assignments: Iterable[Mapping[str, int]]) -> list[tuple[tuple[str, int], ...]]:
    return sorted(tuple(sorted(assignment.items())) for assignment in assignments)


@many
@given(problems())
def test_count_and_enumerate(problem: Problem) -> None:
    expected = brute_force(problem)
    solutions = problem.solve()
    assert solutions.count == len(expected)
    assert rows(solutions.enumerate()) == rows(expected)


@some
@given(problems())
def test_rank_and_unrank_are_inverse(problem: Problem) -> None:
    solutions = problem.solve()
    listed = list(solutions.enumerate())
    assert [solutions.rank(assignment) for assignment in listed] == list(range(solutions.count))
    assert [solutions.unrank(rank) for rank in range(solutions.count)] == listed
    assert all(list(assignment) == list(problem.names) for assignment in listed)


@some
@given(problems(), st.randoms(use_true_random=False))
def test_membership(problem: Problem, random) -> None:
    expected = set(rows(brute_force(problem)))
    solutions = problem.solve()
    for _ in range(20):
        row = {v.name: random.choice(v.domain.values) for v in problem.variables if v.domain is not None}
        known = next((dict(s) for s in expected if row.items() <= dict(s).items()), None)
        assert (row in solutions) == (known is not None)
        if known is not None:
            assert known in solutions
            name = random.choice(problem.names)
            assert ({**known, name: known[name] ^ 1} in solutions) == (
                tuple(sorted({**known, name: known[name] ^ 1}.items())) in expected
            )


@some
@given(problems())
def test_marginals(problem: Problem) -> None:
    expected = brute_force(problem)
    solutions = problem.solve()
    for name in problem.names:
        assert solutions.marginal(name) == dict(sorted(Counter(row[name] for row in expected).items()))


@some
@given(problems(), st.data())
def test_restrict_is_recompiling(problem: Problem, data: st.DataObject) -> None:
    names = list(problem.names)
    unary = st.builds(In, st.sampled_from(names), st.lists(st.integers(-4, 16), max_size=8).map(tuple))
    more = data.draw(st.lists(st.one_of(unary, unary, constraints(names)), min_size=1, max_size=3))
    restricted = problem.solve().restrict(more)
    expected = brute_force(problem.with_constraints(more))
    assert restricted.count == len(expected)
    assert rows(restricted.enumerate()) == rows(expected)
    assert [restricted.rank(assignment) for assignment in restricted.enumerate()] == list(range(len(expected)))


@some
@given(problems(), st.integers(0, 2**32), st.integers(0, 40))
def test_samples_are_solutions(problem: Problem, seed: int, n: int) -> None:
    solutions = problem.solve()
    expected = set(rows(solutions.enumerate()))
    distinct = solutions.sample_distinct(np.random.default_rng(seed), n)
    assert len(distinct) == len(set(rows(distinct))) == min(n, solutions.count)
    assert set(rows(distinct)) <= expected
    if solutions.count:
        sample = solutions.sample(np.random.default_rng(seed), n)
        assert len(sample) == n
        assert set(rows(sample)) <= expected


@settings(max_examples=200, suppress_health_check=_lenient)
@given(problems(max_constraints=7))
def test_explanation_is_minimal_and_conflicting(problem: Problem) -> None:
    solutions = problem.solve()
    assume(not solutions.count)
    conflict = solutions.explain()
    assert conflict.constraints
    definitions = list(problem.definitions.values())
    if all(any(c is d for d in definitions) for c in conflict.constraints):
        kept = {d.result for d in conflict.constraints}
        variables = tuple(v for v in problem.variables if v.domain is not None or v.name in kept)
        assert not brute_force(Problem(variables, conflict.constraints))
        return
    assert not feasible(problem, definitions, conflict.constraints)
    for dropped in conflict.constraints:
        assert feasible(problem, definitions, [c for c in conflict.constraints if c is not dropped])


def feasible(problem: Problem, definitions: list[Constraint], chosen: Iterable[Constraint]) -> bool:
    return bool(brute_force(Problem(problem.variables, (*definitions, *chosen))))


@some
@given(problems(max_constraints=2), st.integers(0, 2**32))
def test_neighbours(problem: Problem, seed: int) -> None:
    """All of them solutions, each once, never the assignment; every solution one choice or one factor away is found."""
    solutions = problem.solve()
    assume(solutions.count)
    chosen = [v.name for v in problem.variables if v.domain is not None]
    assignment = solutions.sample(np.random.default_rng(seed), 1)[0]
    found = rows(solutions.neighbours(assignment))
    assert len(found) == len(set(found))
    everything = set(rows(solutions.enumerate()))
    assert set(found) <= everything - set(rows([assignment]))
    for other in map(dict, everything):
        changed = [name for name in chosen if other[name] != assignment[name]]
        if len(changed) == 1 or moved_factor(problem, assignment, other, changed):
            assert tuple(sorted(other.items())) in found


def moved_factor(problem: Problem, one: Mapping[str, int], other: Mapping[str, int], changed: list[str]) -> bool:
    if len(changed) != 2 or not any(set(changed) <= set(split) for split in splits(problem)):
        return False
    return any(
        one[a] % prime == 0 and other[a] == one[a] // prime and other[b] == one[b] * prime and one[a] and one[b]
        for prime in (2, 3, 5, 7, 11)
        for a, b in (changed, changed[::-1])
    )


@some
@given(problems())
def test_text_round_trip(problem: Problem) -> None:
    assert Problem.parse(str(problem)) == problem
    assert str(Problem.parse(str(problem))) == str(problem)
