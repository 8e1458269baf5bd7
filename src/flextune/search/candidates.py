"""What a model chooses from: the whole set while it is small, else samples and the surroundings of the best."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flextune.csp.assignment import Assignments
from flextune.csp.solutions import SolutionSet
from flextune.search.encoding import Encoding
from flextune.search.unseen import Unseen, joined
from flextune.surrogate.features import FeatureMap
from flextune.surrogate.pool import Single
from flextune.trial.history import History


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """Sets of up to `whole` members are listed. Of larger ones, `samples` are drawn anew each time; besides, there are
    the `neighbours` of each of the `centres` fastest assignments, and as many again two and three moves away."""

    whole: int = 30_000
    samples: int = 2000
    centres: int = 20
    moves: int = 1000


class CandidatePools:
    """Pools of unseen members of a set, with their features in single precision."""

    def __init__(self, solutions: SolutionSet, unseen: Unseen, features: FeatureMap, options: PoolOptions) -> None:
        self._solutions = solutions
        self._unseen = unseen
        self._features = features
        self._options = options
        self._encoding = Encoding(solutions)
        self._listed: tuple[Assignments, Single] | None = None

    def around(self, rng: np.random.Generator, history: History) -> tuple[Assignments, Single]:
        """At least one unseen member, if there are any; some may be seen."""
        if self._solutions.count <= self._options.whole:
            if self._listed is None:
                self._listed = self._with_features(self._solutions.unrank_many(np.arange(self._solutions.count)))
            return self._listed
        parts = [self._unseen.draw(rng, self._options.samples)]
        positions = history.best(self._options.centres)
        if len(positions):
            best = history.assignments().take(positions)
            parts += [self._solutions.neighbours(assignment) for assignment in best.take(np.arange(min(5, len(best))))]
            places = best.take(rng.integers(0, len(best), self._options.moves))
            for _ in range(3):
                places = self._encoding.moves(places, rng)
                parts.append(places)
        pool = joined(parts)
        return self._with_features(pool.take(self._unseen.fresh(pool)))

    def _with_features(self, assignments: Assignments) -> tuple[Assignments, Single]:
        return assignments, self._features.of(assignments).astype(np.float32)
