import numpy as np
import pytest

from flextune.csp.assignment import Assignments
from flextune.search.encoding import Encoding
from flextune.search.repair import nearest_unseen
from flextune.search.unseen import Unseen
from flextune.testing.strategies import FEW, HUGE, ONE, SMALL, SPLITS, example_rows, solved


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_genes_are_what_leaves_a_choice():
    encoding = Encoding(solved("var a in {1, 2, 3}\nvar b in {7}\nvar c in {0, 5}\naux d\nd = a * b\na <= 2\nc <= 4"))
    assert encoding.names == ("a",)
    assert encoding.values[0].tolist() == [1, 2]
    assert encoding.sizes.tolist() == [2]


@pytest.mark.parametrize("solutions", [solved(SMALL), solved(HUGE), solved(SPLITS), example_rows(), solved(ONE)])
def test_positions_and_back(solutions, rng):
    encoding, sample = Encoding(solutions), solutions.sample(rng, 20)
    positions = encoding.positions(sample)
    assert list(encoding.assignments(positions)) == list(sample)
    assert (encoding.scaled(positions) <= 1).all()
    assert encoding.violations(sample).sum() == 0


def violations(text, names, *rows):
    return Encoding(solved(text)).violations(
        Assignments.of([dict(zip(names, row, strict=True)) for row in rows], names)
    )


def test_violations_are_counted():
    text = "var a in {1..9}\nvar b in {1..9}\naux c\nc = a * b\nc <= 40\n2 divides c\na <= b"
    assert violations(text, ("a", "b"), (8, 5), (2, 4), (9, 6), (9, 9)).tolist() == [1, 0, 2, 2]


def test_a_value_that_does_not_exist_is_a_violation():
    text = "var i in {0, 1, 2, 3}\naux s\ns = select(i; 5, 7)\ns <= 6"
    assert violations(text, ("i",), (0,), (1,), (3,)).tolist() == [0, 1, 1]


def test_violations_of_random_combinations_agree_with_membership(rng):
    solutions = solved(SMALL)
    encoding = Encoding(solutions)
    found = encoding.assignments(encoding.random(rng, 1000))
    counted = encoding.violations(found)
    assert ((counted == 0) == solutions.contains_many(found)).all()
    assert set(counted.tolist()) == {0, 1}
    encoding = Encoding(solved(SPLITS))
    assert encoding.violations(encoding.assignments(encoding.random(rng, 1000))).max() > 2


def test_nearest_is_nearest(rng):
    solutions = solved(SMALL)
    encoding = Encoding(solutions)
    wanted = 1.4 * rng.random((30, encoding.genes)) - 0.2
    members = encoding.scaled(encoding.positions(solutions.unrank_many(np.arange(solutions.count))))
    found = encoding.scaled(encoding.positions(encoding.nearest(wanted, rng)))
    least = np.abs(wanted[:, None] - members).sum(axis=2).min(axis=1)
    assert np.abs(wanted - found).sum(axis=1) == pytest.approx(least, abs=1e-4)


def test_of_equally_near_ones_each_is_found(rng):
    encoding = Encoding(solved("var a in {0, 1}\nvar b in {0, 1}\naux c\nc = a + b\nc == 1"))
    found = encoding.nearest(np.zeros((50, 2)), rng)
    assert set(found.columns["a"].tolist()) == {0, 1}


@pytest.mark.parametrize("text", [SMALL, SPLITS, HUGE])
def test_a_move_changes_a_variable_and_what_must_follow(text, rng):
    solutions = solved(text)
    encoding, before = Encoding(solutions), solutions.sample(rng, 200)
    after = encoding.moves(before, rng)
    assert solutions.contains_many(after).all()
    changed = (encoding.positions(before) != encoding.positions(after)).sum(axis=1)
    assert changed.min() == (2 if text == SPLITS else 1)
    assert np.median(changed) <= 3


def test_a_move_reaches_every_value(rng):
    solutions = solved(SMALL)
    start = solutions.sample(rng, 1).take(np.zeros(400, dtype=np.intp))
    after = Encoding(solutions).moves(start, rng)
    for name in ("tile_i", "tile_j", "unroll"):
        assert set(after.columns[name].tolist()) == set(solutions.marginal(name))


def test_a_move_where_there_is_no_choice_stays(rng):
    solutions = solved(ONE)
    assert list(Encoding(solutions).moves(solutions.sample(rng, 2), rng)) == list(solutions.sample(rng, 2))


class TestNearestUnseen:
    def test_takes_the_nearest_where_it_is_unseen(self, rng):
        solutions = solved(SPLITS)
        encoding, targets = Encoding(solutions), solutions.sample(rng, 10)
        wanted = encoding.scaled(encoding.positions(targets))
        assert list(nearest_unseen(encoding, Unseen(solutions), rng, wanted)) == list(targets)

    def test_rows_that_want_the_same_get_different_ones(self, rng):
        solutions = solved(SPLITS)
        encoding, target = Encoding(solutions), solutions.sample(rng, 1)
        wanted = np.repeat(encoding.scaled(encoding.positions(target)), 12, axis=0)
        found = nearest_unseen(encoding, Unseen(solutions), rng, wanted)
        assert len(set(found)) == 12
        assert found[0] == target[0]
        assert solutions.contains_many(found).all()

    def test_each_row_has_its_own_to_the_last(self, rng):
        """Rows keep their order; where there are too few members the last ones go without."""
        solutions = solved(FEW)
        encoding, unseen = Encoding(solutions), Unseen(solutions)
        wanted = rng.random((50, encoding.genes))
        found = nearest_unseen(encoding, unseen, rng, wanted)
        assert len(set(found)) == len(found) == solutions.count
        unseen.mark(list(found)[:-3])
        left = list(found)[-3:]
        for target in left:
            position = encoding.positions(solutions.restrict([]).unrank_many(np.array([solutions.rank(target)])))
            assert nearest_unseen(encoding, unseen, rng, encoding.scaled(position))[0] == target
        assert set(nearest_unseen(encoding, unseen, rng, wanted[:8])) == set(left)

    def test_nothing_is_left(self, rng):
        solutions = solved(ONE)
        unseen = Unseen(solutions)
        unseen.mark(solutions.enumerate())
        assert len(nearest_unseen(Encoding(solutions), unseen, rng, np.zeros((3, 0)))) == 0
