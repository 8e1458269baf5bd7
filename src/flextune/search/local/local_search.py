"""Local search with restarts: the simplest strategy that is hard to beat when there is time.

Schoonhoven, van Werkhoven and Batenburg, "Benchmarking optimization algorithms for auto-tuning GPU kernels", IEEE
Transactions on Evolutionary Computation, 2022, found greedy first-improvement search among the best for large budgets.
"""

from __future__ import annotations

from dataclasses import dataclass

from flextune.csp.assignment import Assignments
from flextune.search.encoding import Encoding
from flextune.search.local.walk import Walk, WalkOptions
from flextune.search.rounds import RoundStrategy
from flextune.search.strategy_options import StrategyOptions, option


@dataclass(frozen=True, slots=True)
class LocalSearchOptions(StrategyOptions):
    """The best of `start` random ones is where the walk begins; see `WalkOptions` for the others."""

    start: int = option(10, low=1, high=10_000)
    jump: int = option(3, low=1, high=100)
    anew: float = option(0.2, low=0, high=1)


class LocalSearchStrategy(RoundStrategy[LocalSearchOptions]):
    """First-improvement search among neighbours, restarted beside the best or anywhere."""

    source = "Schoonhoven et al., Benchmarking optimization algorithms for auto-tuning GPU kernels, 2022"
    options_type = LocalSearchOptions

    def prepare(self) -> None:
        walk_options = WalkOptions(self.options.jump, self.options.anew)
        self._walk = Walk(self.solutions, self.history, self.unseen, Encoding(self.solutions), walk_options)
        self._started = False

    def propose(self) -> Assignments:
        missing = self.options.start - len(self.history)
        if missing > 0 and not self._started:
            return self.unseen.draw(self.rng, missing)
        if not self._started:
            self._started = True
            best = self.history.best(1)
            if len(best):
                self._walk.begin(self.history.assignments()[int(best[0])])
        return self._walk.step(self.rng)
