"""Assignments that are far apart: what to measure while nothing is known."""

from __future__ import annotations

import numpy as np

from flextune.csp.assignment import Assignments
from flextune.search.unseen import Unseen
from flextune.surrogate.features import FeatureMap
from flextune.surrogate.kernel import Array


def spread_out(
    unseen: Unseen, features: FeatureMap, rng: np.random.Generator, n: int, known: Array, candidates: int
) -> Assignments:
    """Up to `n` unseen assignments, each the farthest of `candidates` random ones from those before and from `known`.

    `known` are features (rows, features) of what was measured. The first one is random where there is nothing to be
    far from.
    """
    drawn = unseen.draw(rng, max(n, candidates))
    x = features.of(drawn)
    distance = np.full(len(drawn), np.inf)
    for row in known:
        distance = np.minimum(distance, ((x - row) ** 2).sum(axis=1))
    chosen: list[int] = []
    for _ in range(min(n, len(drawn))):
        index = int(distance.argmax())
        chosen.append(index)
        distance = np.minimum(distance, ((x - x[index]) ** 2).sum(axis=1))
        distance[chosen] = -1
    return drawn.take(np.array(chosen, dtype=np.intp))
