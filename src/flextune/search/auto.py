"""The default strategy: a portfolio of an initial design, Bayesian optimisation and local search.

docs/auto.md says why, and shows the study that set its options.
"""

from __future__ import annotations

from dataclasses import dataclass

from flextune.csp.assignment import Assignments
from flextune.search.bayesian.gaussian_process_search import BayesianStrategy, GaussianProcessSearchOptions
from flextune.search.local.walk import Walk, WalkOptions
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

    def prepare(self) -> None:
        super().prepare()
        self._walk = Walk(self.solutions, self.history, self.unseen, self.encoding, WalkOptions())

    def follow(self) -> Assignments:
        if len(self.history) >= self.options.walk_from and self.rng.random() < self.options.walk_share:
            return self._walk.step(self.rng)
        return super().follow()
