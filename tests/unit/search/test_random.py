import numpy as np
import pytest

from flextune.errors import UsageError
from flextune.search.random import RandomOptions, RandomStrategy
from flextune.testing.strategies import HUGE, SMALL, solved


class Fixed:
    """A model that likes large values of one variable."""

    def __init__(self, name):
        self.name = name

    def predict(self, assignments):
        return assignments.columns[self.name].astype(float)

    def update(self, measurements):
        pass

    def importance(self):
        return {}


def test_first_answers_are_uniform():
    solutions = solved(SMALL)
    counts = dict.fromkeys(solutions.enumerate(), 0)
    for seed in range(4000):
        counts[RandomStrategy(solutions, rng=np.random.default_rng(seed)).ask(1)[0]] += 1
    expected, free = 4000 / len(counts), len(counts) - 1
    assert sum((count - expected) ** 2 / expected for count in counts.values()) < free + 4 * np.sqrt(2 * free)


def test_model_ranks_and_epsilon_is_random():
    options = RandomOptions(round_size=20, population=1000, epsilon=0.25)
    strategy = RandomStrategy(solved(HUGE), rng=np.random.default_rng(0), cost_model=Fixed("v3"), options=options)
    values = [assignment["v3"] for assignment in strategy.ask(20)]
    assert values[:15] == [9] * 15
    assert len(set(values[15:])) > 1


def test_default_outside_the_space_and_asking_for_none():
    with pytest.raises(UsageError, match="the default assignment is not in the space"):
        RandomStrategy(
            solved("var i in {1}"), rng=np.random.default_rng(0), default=next(solved("var i in {2}").enumerate())
        )
    with pytest.raises(UsageError, match="at least one"):
        RandomStrategy(solved("var i in {1}"), rng=np.random.default_rng(0)).ask(0)
