import numpy as np
import pytest

from flextune.search.evolution.differential_evolution import (
    DifferentialEvolutionOptions,
    DifferentialEvolutionStrategy,
    crossed,
    distinct_others,
    mutant_points,
)
from flextune.testing.cost_models import measured
from flextune.testing.strategies import HUGE, SPLITS, solved


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def strategy(text=HUGE, **options):
    return DifferentialEvolutionStrategy(
        solved(text), rng=np.random.default_rng(0), options=DifferentialEvolutionOptions(**options)
    )


def test_three_others_are_different(rng):
    for n in (4, 9):
        others = distinct_others(rng, n)
        rows = np.concatenate([np.arange(n)[:, None], others], axis=1)
        assert all(len(set(row)) == 4 for row in rows.tolist())


def test_mutants_are_where_a_difference_leads(rng):
    points = np.full((6, 2), 0.5)
    for variant in ("rand1", "best1", "current-to-best1"):
        assert (mutant_points(rng, points, 2, 0.7, variant) == 0.5).all()
    points = rng.random((6, 2))
    assert (mutant_points(rng, points, 2, 0.0, "best1") == points[2]).all()
    assert (mutant_points(rng, points, 2, 0.0, "current-to-best1") == points).all()
    assert all(row in points.tolist() for row in mutant_points(rng, points, 2, 0.0, "rand1").tolist())
    far = mutant_points(rng, points, 2, 2.0, "rand1")
    assert ((far >= 0) & (far <= 1)).all()


def test_crossover_takes_at_least_one_coordinate(rng):
    points, mutants = np.zeros((200, 5)), np.ones((200, 5))
    assert set(crossed(rng, points, mutants, 0.0).sum(axis=1).tolist()) == {1.0}
    assert crossed(rng, points, mutants, 1.0).all()
    assert crossed(rng, points, mutants, 0.5).mean() == pytest.approx(0.6, abs=0.05)


def test_a_generation_challenges_every_member():
    search = strategy(population=8)
    first = search.ask(100)
    assert len(first) == 8
    search.tell(measured(first, np.arange(1.0, 9.0)))
    trials = search.ask(100)
    assert [member.at for member in search._members] == list(first)
    assert [member.trial for member in search._members] == list(trials)
    search.tell(measured(trials, np.array([0.5, 9, 3, 9, 9, np.inf, 9, 9])))
    search.propose()
    members = [member.at for member in search._members]
    assert members == [trials[0], first[1], trials[2], *first[3:]]


def test_failures_are_drawn_anew():
    search = strategy(population=6)
    first = search.ask(100)
    search.tell(measured(first, np.array([1, np.inf, 2, 3, np.inf, 4])))
    second = search.ask(100)
    assert [member.at for member in search._members] == [first[0], None, first[2], first[3], None, first[5]]
    assert len(second) == 6
    assert [member.trial for member in search._members if member.at is None] == list(second[4:])


def test_trials_are_solutions_where_constraints_are_tight():
    search = strategy(SPLITS)
    for _ in range(4):
        asked = search.ask(16)
        assert len(asked) == 16
        search.tell(measured(asked, 1.0 + np.random.default_rng(1).random(16)))
    assert search.solutions.contains_many(search.history.assignments()).all()


def test_starts_from_the_best_known():
    search = strategy(SPLITS, population=6)
    known = list(search.solutions.sample(np.random.default_rng(1), 5))
    search.tell(measured(known, np.array([3.0, np.inf, 1.0, 2.0, 5.0])))
    search.propose()
    assert [member.at for member in search._members] == [known[2], known[3], known[0], None, None, None]


def test_closes_in_on_the_best():
    search = strategy()
    means = []
    for _ in range(15):
        asked = search.ask(16)
        away = np.array([sum(abs(value - 6) for value in assignment.values()) for assignment in asked])
        means.append(away.mean())
        search.tell(measured(asked, 1.0 + away))
    assert means[-1] < 0.5 * means[0]
