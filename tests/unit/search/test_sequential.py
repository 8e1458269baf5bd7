"""Strategies that are written as one loop over evaluations."""

import numpy as np

from flextune.search.sequential import SequentialStrategy
from flextune.search.strategy_options import StrategyOptions
from flextune.testing.cost_models import measured
from flextune.testing.strategies import SMALL, solved


class ByRank(SequentialStrategy[StrategyOptions]):
    """Evaluates ranks 0, 1, 2, 0, 1, 2, 3, 4, 5, ... and notes what it is sent."""

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.sent = []
        self.begun = 0

    def evaluations(self):
        self.begun += 1
        for rank in (0, 1, 2, 0, 1, 2, *range(3, 3 * self.begun + 3)):
            secs = yield self.solutions.unrank(rank)
            self.sent.append((rank, secs))


def strategy():
    return ByRank(solved(SMALL), rng=np.random.default_rng(0))


def test_evaluates_in_turn_and_answers_what_is_known():
    search = strategy()
    for rank in range(6):
        (asked,) = search.ask(10)
        assert search.solutions.rank(asked) == rank
        search.tell(measured([asked], np.array([1.0 + rank])))
    assert search.sent == [(0, 1.0), (1, 2.0), (2, 3.0), (0, 1.0), (1, 2.0), (2, 3.0), (3, 4.0), (4, 5.0)]


def test_begins_anew_when_it_ends():
    search = strategy()
    for rank in range(12):
        (asked,) = search.ask(1)
        assert search.solutions.rank(asked) == rank
        search.tell(measured([asked], np.array([np.inf])))
    assert search.begun == 3


def test_waits_for_what_was_asked_and_gives_others_meanwhile():
    search = strategy()
    first, *others = [search.ask(1)[0] for _ in range(5)]
    assert search.solutions.rank(first) == 0
    assert len({first, *others}) == 5
    search.tell(measured(others, np.ones(4)))
    assert search.sent == []
    search.tell(measured([first], np.array([7.0])))
    search.ask(1)
    assert search.sent[0] == (0, 7.0)


def test_what_an_earlier_run_told_is_known():
    search = strategy()
    search.tell(measured([search.solutions.unrank(rank) for rank in (0, 2)], np.array([1.0, 3.0])))
    assert search.solutions.rank(search.ask(1)[0]) == 1
