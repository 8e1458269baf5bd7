"""A maximin design: points that are far apart, chosen greedily.

Johnson, Moore and Ylvisaker, "Minimax and maximin distance designs", 1990; the greedy choice (farthest-point sampling)
is within a factor of two of the best, Gonzalez, "Clustering to minimize the maximum intercluster distance", 1985.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from flextune.surrogate.covariance import Array


def farthest_points(x: Array, n: int, known: Array) -> npt.NDArray[np.intp]:
    """Positions of up to `n` rows of `x`, each the farthest from those before it and from the rows of `known`.

    The first one is the first row where there is nothing to be far from.
    """
    distance = np.full(len(x), np.inf)
    for row in known:
        distance = np.minimum(distance, ((x - row) ** 2).sum(axis=1))
    chosen: list[int] = []
    for _ in range(min(n, len(x))):
        index = int(distance.argmax())
        chosen.append(index)
        distance = np.minimum(distance, ((x - x[index]) ** 2).sum(axis=1))
        distance[chosen] = -1
    return np.array(chosen, dtype=np.intp)
