"""Every registered strategy passes the suite, with and without a cost model."""

from typing import ClassVar

import numpy as np
import pytest

from flextune.cost.cost_model_registry import create_cost_model
from flextune.csp.assignment import Assignment
from flextune.csp.solutions import SolutionSet
from flextune.search.extras import is_installed
from flextune.search.strategy import SearchStrategy
from flextune.search.strategy_registry import create_strategy, strategy_names, strategy_text
from flextune.testing.strategies import FEW, StrategySuite, solved

_QUICK = {
    "annealing": {"steps": "3", "chains": "8"},
    "flexaction": {"steps": "2"},
    "optuna": {"startup": "4", "candidates": "4", "multivariate": "false", "round_size": "4"},
}
"""Options with which those are tested that would take long."""
_FEWER_TRIALS = {"annealing": 40, "auto": 30, "gaussian-process": 30, "optuna": 30}
"""For those that are slow, and have no rounds of which several must fit."""


class Registered(StrategySuite):
    name: str
    options: ClassVar[dict[str, str]] = {}

    @pytest.fixture(autouse=True, params=["none", "trees"])
    def with_cost_model(self, request: pytest.FixtureRequest) -> None:
        self.cost_model = request.param

    def create(
        self,
        solutions: SolutionSet,
        rng: np.random.Generator,
        default: Assignment | None = None,
        trials: int | None = None,
    ) -> SearchStrategy:
        model = create_cost_model(self.cost_model, solutions.names, seed=0)
        return create_strategy(
            self.name, solutions, rng=rng, default=default, cost_model=model, options=self.options, trials=trials
        )


_ASK_NO_MODEL = (
    "exhaustive",
    "differential-evolution",
    "dual-annealing",
    "flextensor-p",
    "flextensor-q",
    "local-search",
    "optuna",
    "tree-surrogate",
)
"""Whose runs with a cost model are those without one."""
_MODELS = [(name, model) for name in strategy_names() for model in ("none", "trees")]


class TestByDefault(Registered):
    @pytest.fixture(
        autouse=True,
        params=[pair for pair in _MODELS if pair[1] == "none" or pair[0] not in _ASK_NO_MODEL],
        ids="-".join,
    )
    def with_cost_model(self, request: pytest.FixtureRequest) -> None:
        self.name, self.cost_model = request.param
        self.options = _QUICK.get(self.name, {})
        self.trials = _FEWER_TRIALS.get(self.name, StrategySuite.trials)
        self.seeded = self.name != "exhaustive"
        extra = strategy_text(self.name).extra
        if not is_installed(extra):
            pytest.skip(f"the extra {extra!r} is not installed")


@pytest.mark.parametrize("name", _ASK_NO_MODEL)
def test_a_cost_model_that_is_not_asked_changes_nothing(name: str) -> None:
    if not is_installed(strategy_text(name).extra):
        pytest.skip("an extra is not installed")
    runs = []
    for model in ("none", "trees"):
        suite = TestByDefault()
        suite.name, suite.cost_model, suite.options = name, model, _QUICK.get(name, {})
        runs.append(suite._run(solved(FEW), 30))
    assert runs[0] == runs[1]


class TestExhaustiveShuffled(Registered):
    name = "exhaustive"
    options: ClassVar[dict[str, str]] = {"order": "shuffled"}


class TestGaWithRepair(Registered):
    name = "ga"
    options: ClassVar[dict[str, str]] = {"infeasible": "repair", "generations": "2"}


class TestOneChain(Registered):
    name = "annealing"
    options: ClassVar[dict[str, str]] = {"chains": "1", "temperature": "0", "steps": "1"}

    @pytest.fixture(autouse=True)
    def with_cost_model(self) -> None:
        self.cost_model = "none"


class TestCgaWithFewChildren(Registered):
    name = "cga"
    options: ClassVar[dict[str, str]] = {"generations": "2", "offspring": "40", "keys": "random"}
