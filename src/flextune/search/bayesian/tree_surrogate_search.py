"""A forest as the model of the times, and another one of what runs at all (SMAC, with a feasibility model).

Hutter, Hoos and Leyton-Brown, "Sequential model-based optimization for general algorithm configuration", LION 2011; the
probability that a candidate runs weighs its expected improvement as in Gelbart, Snoek and Adams, 2014.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flextune.csp.assignment import Assignments
from flextune.search.bayesian.candidate_pool import CandidatePools, Pool, PoolOptions
from flextune.search.encoding import Encoding
from flextune.search.rounds import RoundStrategy
from flextune.search.strategy_options import StrategyOptions, option
from flextune.search.unseen import joined
from flextune.surrogate.covariance import Array
from flextune.surrogate.expected_improvement import expected_improvement
from flextune.surrogate.extra_trees import ExtraTrees, ExtraTreesOptions
from flextune.surrogate.feature_map import FeatureMap
from flextune.surrogate.log_target import LogTarget

_LEAST_CHANCE = 0.01


@dataclass(frozen=True, slots=True)
class TreeSurrogateOptions(StrategyOptions):
    """After `start` random ones, a round is the candidates of largest acquisition, `epsilon` of it random."""

    round_size: int = option(8, low=1, high=1024)
    """Assignments chosen together."""
    start: int = option(16, low=1, high=1000)
    epsilon: float = option(0.12, low=0, high=1)
    trees: int = option(50, low=1, high=1000)
    """See `ExtraTreesOptions`."""
    tries: int = option(5, low=1, high=100)
    """See `ExtraTreesOptions`."""
    split: int = option(4, low=2, high=100)
    """See `ExtraTreesOptions`."""
    cap: float = option(0.8, low=0.05, high=1)
    """The quantile of the times above which all count alike."""
    whole: int = option(5000, low=1, high=200_000)
    """See `PoolOptions`."""
    samples: int = option(2500, low=1, high=100_000)
    """See `PoolOptions`."""


class TreeSurrogateStrategy(RoundStrategy[TreeSurrogateOptions]):
    """Expected improvement under randomised trees, times the probability to run that they learn from failures."""

    source = "Hutter et al., SMAC, LION 2011; Geurts et al., Extremely randomized trees, 2006"
    options_type = TreeSurrogateOptions

    def prepare(self) -> None:
        self._features = FeatureMap.of_set(self.solutions.names, self.solutions)
        pool_options = PoolOptions(self.options.whole, self.options.samples, walks=self.options.samples // 5)
        self._pools = CandidatePools(self.solutions, self._features, Encoding(self.solutions), pool_options)

    def propose(self) -> Assignments:
        size = self.options.round_size
        missing = self.options.start - len(self.history)
        if missing > 0:
            return self.unseen.draw(self.rng, min(missing, size))
        pool = self._unseen_pool()
        order = np.argsort(-self._acquired(pool.x.astype(np.float64)), kind="stable")
        chosen = pool.members.take(order[: max(1, round(size * (1 - self.options.epsilon)))])
        return joined([chosen, self.unseen.draw(self.rng, size - len(chosen), besides=chosen)])

    def _unseen_pool(self) -> Pool:
        pool = self._pools.around(self.rng, self.history)
        fresh = self.unseen.fresh(pool.members)
        return Pool(pool.members.take(fresh), pool.x[fresh])

    def _acquired(self, x: Array) -> Array:
        """The acquisition function: expected improvement times the probability to run."""
        known, secs = self._features.of(self.history.assignments()), self.history.secs()
        runs = np.isfinite(secs)
        values = np.ones(len(x))
        if runs.any():
            y = LogTarget.fitted(secs[runs], self.options.cap).of(secs[runs])
            mean, std = self._forest(known[runs], y).predict(x)
            values = expected_improvement(mean, std, float(y.min()))
        if not runs.all():
            chance, _ = self._forest(known, runs.astype(np.float64)).predict(x)
            values = values * np.maximum(chance, _LEAST_CHANCE)
        return values

    def _forest(self, x: Array, y: npt.NDArray[np.float64]) -> ExtraTrees:
        given = self.options
        return ExtraTrees(ExtraTreesOptions(given.trees, given.split, given.tries)).fit(x, y, self.rng)
