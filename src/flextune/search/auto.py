"""The default strategy: a portfolio of an initial design, Bayesian optimisation and local search.

docs/auto.md says why, and shows the study that set its options.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flextune.csp.assignment import Assignment, Assignments
from flextune.csp.solutions import SolutionSet
from flextune.search.bayesian.gaussian_process_search import BayesianStrategy, GaussianProcessSearchOptions
from flextune.search.local.walk import Walk, WalkOptions
from flextune.search.strategy import Ranking
from flextune.search.strategy_options import option


@dataclass(frozen=True, slots=True)
class AutoOptions(GaussianProcessSearchOptions):
    """`start` assignments that are far apart come first; from `walk_from` measurements on, `walk_share` of the rest is
    local search."""

    start: int = option(3, low=1, high=1000)
    walk_from: int = option(100, low=0)
    walk_share: float = option(0.2, low=0, high=1)


class AutoStrategy(BayesianStrategy[AutoOptions]):
    """A portfolio that fits most spaces and budgets: spread-out start, Gaussian process, local search."""

    source = "docs/auto.md"
    options_type = AutoOptions

    def __init__(
        self,
        solutions: SolutionSet,
        *,
        rng: np.random.Generator,
        default: Assignment | None = None,
        cost_model: Ranking | None = None,
        options: AutoOptions | None = None,
        trials: int | None = None,
    ) -> None:
        super().__init__(solutions, rng=rng, default=default, cost_model=cost_model, options=options, trials=trials)
        self._walk = Walk(solutions, self.history, self.unseen, self.encoding, WalkOptions())

    def follow(self) -> Assignments:
        if len(self.history) >= self.options.walk_from and self.rng.random() < self.options.walk_share:
            return self._walk.step(self.rng)
        return super().follow()
