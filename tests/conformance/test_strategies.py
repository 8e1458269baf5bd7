"""Every registered strategy passes the suite, with and without a cost model."""

from typing import ClassVar

import numpy as np

from flextune.cost.registry import create_cost_model
from flextune.csp.assignment import Assignment
from flextune.csp.solutions import SolutionSet
from flextune.search.registry import create_strategy, strategy_names
from flextune.search.strategy import SearchStrategy
from flextune.testing.strategies import StrategySuite


class Registered(StrategySuite):
    name: str
    model = "none"
    options: ClassVar[dict[str, str]] = {}

    def create(self, solutions: SolutionSet, rng: np.random.Generator, default: Assignment | None) -> SearchStrategy:
        model = create_cost_model(self.model, solutions.names, seed=0)
        return create_strategy(self.name, solutions, rng=rng, default=default, cost_model=model, options=self.options)


class TestRandom(Registered):
    name = "random"


class TestRandomWithTrees(Registered):
    name = "random"
    model = "trees"


class TestCga(Registered):
    name = "cga"


class TestCgaWithTrees(Registered):
    name = "cga"
    model = "trees"


class TestCgaWithRandomKeys(Registered):
    name = "cga"
    model = "trees"
    options: ClassVar[dict[str, str]] = {"generations": "2", "offspring": "40", "keys": "random"}
    trials = 70


def test_every_strategy_is_tested():
    assert {suite.name for suite in Registered.__subclasses__()} == set(strategy_names())
