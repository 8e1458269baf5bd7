"""What a model chooses from: the whole set while it is small, else samples and the surroundings of the best."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from flextune.csp.assignment import Assignment, Assignments
from flextune.csp.solutions import SolutionSet
from flextune.search.encoding import Encoding
from flextune.search.unseen import joined
from flextune.surrogate.feature_map import FeatureMap
from flextune.surrogate.pool_posterior import Single
from flextune.trial.history import History

_HOPS = 3


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """Sets of up to `whole` members are listed. Of a larger one there are `samples`, drawn anew as soon as half as much
    again was measured; all neighbours of the `centres` fastest assignments; and on each of `walks` random walks from
    them the first three places."""

    whole: int = 30_000
    samples: int = 10_000
    centres: int = 5
    walks: int = 1000


@dataclass(frozen=True, slots=True)
class Pool:
    """Members of a set and their features, row by row. Some may be known already, some twice in it."""

    members: Assignments
    x: Single
    is_whole: bool = False
    """Whether all of the set are in it."""


class CandidatePools:
    """Makes the pools from which the next assignments are chosen."""

    def __init__(self, solutions: SolutionSet, features: FeatureMap, encoding: Encoding, options: PoolOptions) -> None:
        """`features` may be replaced; what is kept is then described anew."""
        self._solutions = solutions
        self._features = features
        self._encoding = encoding
        self._options = options
        self._everywhere: Pool | None = None
        self._redraw_at = 0
        self._neighbours: dict[Assignment, Assignments] = {}

    @property
    def features(self) -> FeatureMap:
        """How members are described."""
        return self._features

    @features.setter
    def features(self, features: FeatureMap) -> None:
        self._features = features
        if self._everywhere is not None:
            self._everywhere = replace(self._everywhere, x=self._pool(self._everywhere.members).x)

    def around(self, rng: np.random.Generator, history: History) -> Pool:
        """Members from everywhere, and more of them near the best ones of the history."""
        if self._solutions.count <= self._options.whole:
            if self._everywhere is None:
                everything = self._pool(self._solutions.unrank_many(np.arange(self._solutions.count)))
                self._everywhere = replace(everything, is_whole=True)
            return self._everywhere
        if self._everywhere is None or len(history) >= self._redraw_at:
            self._everywhere = self._pool(self._solutions.sample(rng, self._options.samples))
            self._redraw_at = len(history) + len(history) // 2
        positions = history.best(self._options.centres)
        if not len(positions):
            return self._everywhere
        near = self._pool(self._surroundings(rng, history.assignments().take(positions)))
        members = joined([self._everywhere.members, near.members])
        return Pool(members, np.concatenate([self._everywhere.x, near.x]))

    def _surroundings(self, rng: np.random.Generator, centres: Assignments) -> Assignments:
        self._neighbours = {centre: self._neighbours_of(centre) for centre in centres}
        parts = list(self._neighbours.values())
        places = centres.take(rng.integers(0, len(centres), self._options.walks))
        for _ in range(_HOPS):
            places = self._encoding.moves(places, rng)
            parts.append(places)
        return joined(parts)

    def _neighbours_of(self, centre: Assignment) -> Assignments:
        """Kept for the next time, as the best seldom change."""
        known = self._neighbours.get(centre)
        return self._solutions.neighbours(centre) if known is None else known

    def _pool(self, members: Assignments) -> Pool:
        return Pool(members, self._features.of(members).astype(np.float32))
