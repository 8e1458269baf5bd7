"""The default strategy: a portfolio of a spread-out start, a Gaussian process, and local search.

docs/auto.md says why, and shows the study that set its options.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flextune.csp.assignment import Assignment, Assignments
from flextune.csp.solutions import SolutionSet
from flextune.search.encoding import Encoding
from flextune.search.guided.candidates import CandidatePools, PoolOptions
from flextune.search.guided.guide import Guide, GuideOptions
from flextune.search.guided.opening import Opening
from flextune.search.local.walk import Walk, WalkOptions
from flextune.search.options import StrategyOptions, option
from flextune.search.rounds import RoundStrategy
from flextune.search.strategy import Ranking
from flextune.surrogate.features import FeatureMap


@dataclass(frozen=True, slots=True)
class AutoOptions(StrategyOptions):
    """`start` assignments that are far apart come first; from `walk_from` measurements on, `walk_share` of the rest is
    local search."""

    round_size: int = option(1, low=1, high=256)
    start: int = option(3, low=1, high=1000)
    start_candidates: int = option(500, low=1, high=100_000)
    walk_from: int = option(100, low=0)
    walk_share: float = option(0.2, low=0, high=1)
    cap: float = option(0.5, low=0.05, high=1)
    rows: int = option(500, low=10, high=4000)
    kernel_rows: int = option(200, low=10, high=1000)
    refit_growth: float = option(0.1, low=0, high=10)
    whole: int = option(30_000, low=1, high=200_000)
    samples: int = option(10_000, low=1, high=100_000)


class AutoStrategy(RoundStrategy[AutoOptions]):
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
        given = self.options
        self._opening = Opening(given.start, given.start_candidates)
        self._features = FeatureMap(solutions.names, solutions)
        encoding = Encoding(solutions)
        pools = CandidatePools(solutions, self._features, encoding, PoolOptions(given.whole, given.samples))
        guide_options = GuideOptions(
            cap=given.cap, rows=given.rows, kernel_rows=given.kernel_rows, refit_growth=given.refit_growth
        )
        self._guide = Guide(self.history, self.unseen, self._features, pools, guide_options)
        self._walk = Walk(solutions, self.history, self.unseen, encoding, WalkOptions())

    def propose(self) -> Assignments:
        missing = self._opening.missing(self.history)
        if missing > 0:
            known, model = self._guide.x, self.cost_model
            return self._opening.choose(self.unseen, self._features, known, self.rng, missing, model)
        if len(self.history) >= self.options.walk_from and self.rng.random() < self.options.walk_share:
            return self._walk.step(self.rng)
        chosen = self._guide.choose(self.rng, self.options.round_size)
        return chosen if len(chosen) else self.unseen.draw(self.rng, self.options.round_size)
