import itertools

import numpy as np
import pytest

from flextune.csp.assignment import Assignments
from flextune.search.unseen import Unseen, joined
from flextune.testing.strategies import HUGE, SMALL, solved


def chi_square(counts, expected):
    return float(((np.asarray(counts) - expected) ** 2 / expected).sum())


@pytest.mark.parametrize("marked", [0, 40, 90])
def test_draws_are_uniform_over_what_is_left(marked):
    solutions = solved(SMALL)
    members = list(solutions.enumerate())
    unseen = Unseen(solutions)
    unseen.mark(members[:marked])
    rng = np.random.default_rng(marked)
    drawn = [assignment for _ in range(1500) for assignment in unseen.draw(rng, 4)]
    counts = dict.fromkeys(members[marked:], 0)
    for assignment in drawn:
        counts[assignment] += 1
    free = len(counts) - 1
    assert chi_square(list(counts.values()), len(drawn) / len(counts)) < free + 4 * np.sqrt(2 * free)


@pytest.mark.parametrize("text", ["var i in {1, 2, 3, 4}", "var i in {1, 2, 3, 4}\nvar j in {1, 2, 3, 4, 5}"])
def test_order_of_a_draw_is_uniform_too(text):
    solutions = solved(text)
    unseen = Unseen(solutions)
    keep = list(solutions.enumerate())[:3]
    unseen.mark(set(solutions.enumerate()) - set(keep) if solutions.count == 4 else ())
    members = keep if solutions.count == 4 else list(solutions.enumerate())
    pairs = dict.fromkeys(itertools.permutations(members, 2), 0)
    rng = np.random.default_rng(1)
    for _ in range(40 * len(pairs)):
        pairs[tuple(unseen.draw(rng, 2))] += 1
    free = len(pairs) - 1
    assert chi_square(list(pairs.values()), 40) < free + 4 * np.sqrt(2 * free)


def test_draws_are_distinct_and_all_when_too_few_are_left():
    solutions = solved(SMALL)
    unseen = Unseen(solutions)
    members = list(solutions.enumerate())
    unseen.mark(members[:100])
    drawn = list(unseen.draw(np.random.default_rng(0), 50))
    assert sorted(map(str, drawn)) == sorted(map(str, members[100:]))
    assert unseen.count == solutions.count - 100
    unseen.mark(members)
    assert len(unseen.draw(np.random.default_rng(0), 50)) == unseen.count == 0


def test_draw_besides_others():
    solutions = solved(SMALL)
    unseen = Unseen(solutions)
    rng = np.random.default_rng(0)
    first = unseen.draw(rng, 50)
    second = unseen.draw(rng, 200, besides=first)
    assert len(second) == solutions.count - 50
    assert set(first).isdisjoint(second)


def test_fresh_are_the_first_of_each_unmarked():
    solutions = solved(SMALL)
    members = solutions.unrank_many(np.arange(6))
    unseen = Unseen(solutions)
    unseen.mark([members[1]])
    twice = joined([members, members])
    assert unseen.fresh(twice).tolist() == [0, 2, 3, 4, 5]
    assert members[1] not in unseen
    assert members[0] in unseen


def test_a_huge_set_is_never_listed():
    drawn = Unseen(solved(HUGE)).draw(np.random.default_rng(0), 1000)
    assert len(set(drawn)) == 1000


def test_joined_keeps_order():
    parts = [Assignments({"i": np.array([1, 2])}), Assignments({"i": np.array([3])})]
    assert joined(parts).columns["i"].tolist() == [1, 2, 3]
