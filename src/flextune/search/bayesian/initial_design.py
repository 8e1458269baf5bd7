"""The initial design of Bayesian optimisation: what is measured before there is a model.

A maximin design (assignments far apart), and then random ones until enough have run.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flextune.csp.assignment import Assignments
from flextune.search.bayesian.maximin import farthest_points
from flextune.search.strategy import Ranking
from flextune.search.unseen import Unseen
from flextune.surrogate.covariance import Array
from flextune.surrogate.feature_map import FeatureMap
from flextune.trial.history import History

_PATIENCE = 6
"""How many times as many failures are accepted before a model has to make do with them."""


@dataclass(frozen=True, slots=True)
class InitialDesign:
    """`start` assignments chosen from `candidates` random ones, and as many more as it takes until `start` have run.

    With a cost model that has learned something already, on other workloads perhaps, those are chosen from the tenth
    of the candidates that it likes best.
    """

    start: int
    candidates: int

    def missing(self, history: History) -> int:
        """How many are still to be measured before a model of the times has something to go by."""
        told = len(history)
        if told < self.start:
            return self.start - told
        running = int(np.isfinite(history.secs()).sum())
        patient = running == 0 or told < _PATIENCE * self.start
        return max(0, self.start - running) if patient else 0

    def choose(
        self,
        unseen: Unseen,
        features: FeatureMap,
        known: Array,
        rng: np.random.Generator,
        n: int,
        model: Ranking | None,
    ) -> Assignments:
        """Up to `n` unseen ones; `known` are the features of what was told."""
        if len(known) >= self.start:
            return unseen.draw(rng, n)
        drawn = unseen.draw(rng, max(n, self.candidates))
        if model is not None:
            drawn = _preferred(drawn, model, max(n, len(drawn) // 10))
        return drawn.take(farthest_points(features.of(drawn), n, known))


def _preferred(drawn: Assignments, model: Ranking, count: int) -> Assignments:
    predicted = model.predict(drawn)
    if not len(predicted) or predicted.max() <= predicted.min():
        return drawn
    return drawn.take(np.argsort(-predicted, kind="stable")[:count])
