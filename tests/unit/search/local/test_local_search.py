import numpy as np

from flextune.csp.problem import Problem
from flextune.search.local.local_search import LocalSearchOptions, LocalSearchStrategy
from flextune.trial.measurement import Measurement, Status

GRID = "var a in {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}\nvar b in {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}"


def strategy(start: int = 1, anew: float = 0.2) -> LocalSearchStrategy:
    options = LocalSearchOptions(start=start, anew=anew)
    return LocalSearchStrategy(Problem.parse(GRID).solve(), rng=np.random.default_rng(1), options=options)


def measured(assignment) -> Measurement:
    return Measurement(assignment, Status.OK, (1.0 + (assignment["a"] - 3) ** 2 + (assignment["b"] - 7) ** 2,))


def differing(one, other) -> int:
    return sum(one[name] != other[name] for name in one)


def test_walks_over_neighbours_of_the_best_until_none_is_faster():
    search = strategy()
    base = measured(search.ask(1)[0])
    search.tell([base])
    asked = 0
    while base.secs > 1:
        (next_one,) = search.ask(1)
        assert differing(next_one, base.assignment) == 1
        search.tell([measured(next_one)])
        if measured(next_one).secs < base.secs:
            base = measured(next_one)
        asked += 1
    assert asked <= 60


def test_starts_from_the_best_of_the_first():
    search = strategy(start=10)
    first = search.ask(10)
    search.tell([measured(assignment) for assignment in first])
    best = min(first, key=lambda assignment: measured(assignment).secs)
    assert differing(search.ask(1)[0], best) == 1


def test_leaves_a_local_optimum():
    search = strategy(anew=0)
    best = next(a for a in search.solutions.enumerate() if measured(a).secs == 1)
    around = [best, *search.solutions.neighbours(best)]
    search.tell([measured(assignment) for assignment in around])
    (next_one,) = search.ask(1)
    assert next_one not in around


def test_goes_on_from_what_was_told_before():
    search = strategy(start=5)
    told = list(search.solutions.enumerate())[:20]
    search.tell([measured(assignment) for assignment in told])
    best = min(told, key=lambda assignment: measured(assignment).secs)
    assert differing(search.ask(1)[0], best) == 1
