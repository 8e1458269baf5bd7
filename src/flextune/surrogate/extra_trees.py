"""Extremely randomised trees (Geurts, Ernst and Wehenkel, Machine Learning 63, 2006) that say how sure they are.

All trees grow at once, level by level, so that a forest takes milliseconds without compiled code.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flextune.errors import UsageError
from flextune.surrogate.covariance import Array

Numbers = npt.NDArray[np.intp]

_LEAST_VARIANCE = 1e-4
_LEAST_SPREAD = 1e-9


@dataclass(frozen=True, slots=True)
class ExtraTreesOptions:
    """A node of fewer than `split` rows is a leaf. Of `tries` random splits of a node the best is taken."""

    trees: int = 50
    split: int = 4
    tries: int = 5


@dataclass(frozen=True, slots=True)
class Level:
    """The open nodes of all trees at one depth: which rows are in each of them, node after node."""

    nodes: Numbers
    begin: Numbers
    row: Numbers

    @property
    def sizes(self) -> Numbers:
        return np.diff(np.append(self.begin, len(self.row)))


@dataclass(frozen=True, slots=True)
class Split:
    """Per node, which feature is compared with which threshold; the gain is infinitely bad where nothing is split."""

    feature: Numbers
    threshold: Array
    gain: Array

    def better(self, other: Split) -> Split:
        ours = self.gain >= other.gain
        return Split(
            np.where(ours, self.feature, other.feature),
            np.where(ours, self.threshold, other.threshold),
            np.where(ours, self.gain, other.gain),
        )


class ExtraTrees:
    """A forest as a regression with uncertainty: the law of total variance over the leaves (Hutter et al., 2014).

    >>> x = np.linspace(0, 1, 64)[:, None]
    >>> trees = ExtraTrees().fit(x, np.floor(2 * x[:, 0]), np.random.default_rng(0))
    >>> mean, std = trees.predict(np.array([[0.1], [0.9]]))
    >>> mean.round(1).tolist()
    [0.0, 1.0]
    """

    def __init__(self, options: ExtraTreesOptions | None = None) -> None:
        self._options = options or ExtraTreesOptions()
        self._feature: Numbers = np.empty(0, dtype=np.intp)
        self._threshold: Array = np.empty(0)
        self._left: Numbers = np.empty(0, dtype=np.intp)
        self._mean: Array = np.empty(0)
        self._variance: Array = np.empty(0)

    def fit(self, x: Array, y: Array, rng: np.random.Generator) -> ExtraTrees:
        """Learn y (n,) at x (n, features)."""
        if x.ndim != 2 or y.shape != x.shape[:1] or not len(y):
            raise UsageError(f"expected values for each of at least one row of features, got {y.shape} and {x.shape}")
        trees, rows = self._options.trees, len(y)
        room = trees * 2 * rows
        self._feature = np.full(room, -1, dtype=np.intp)
        self._threshold, self._left = np.zeros(room), np.zeros(room, dtype=np.intp)
        self._mean, self._variance = np.zeros(room), np.zeros(room)
        level = Level(np.arange(trees), np.arange(trees) * rows, np.tile(np.arange(rows), trees))
        used = trees
        while len(level.nodes):
            self._describe(level, y)
            split = self._best_split(level, x, y, rng)
            level, used = self._grown(level, split, x, used)
        return self

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Mean and standard deviation at the rows of `x`, each of shape (len(x),)."""
        trees = self._options.trees
        node = np.tile(np.arange(trees), len(x))
        row = np.repeat(np.arange(len(x)), trees)
        moving = np.flatnonzero(self._feature[node] >= 0)
        while len(moving):
            at = node[moving]
            right = x[row[moving], self._feature[at]] > self._threshold[at]
            node[moving] = self._left[at] + right
            moving = moving[self._feature[node[moving]] >= 0]
        means = self._mean[node].reshape(len(x), trees)
        inside = self._variance[node].reshape(len(x), trees).mean(axis=1)
        return means.mean(axis=1), np.sqrt(np.maximum(means.var(axis=1) + inside, _LEAST_VARIANCE))

    def _describe(self, level: Level, y: Array) -> None:
        values, sizes = y[level.row], level.sizes
        mean = np.add.reduceat(values, level.begin) / sizes
        squares = np.add.reduceat(values * values, level.begin) / sizes
        self._mean[level.nodes] = mean
        self._variance[level.nodes] = np.maximum(squares - mean * mean, 0)

    def _best_split(self, level: Level, x: Array, y: Array, rng: np.random.Generator) -> Split:
        count = len(level.nodes)
        best = Split(np.zeros(count, dtype=np.intp), np.zeros(count), np.full(count, -np.inf))
        if not x.shape[1]:
            return best
        for _ in range(self._options.tries):
            best = _random_split(level, x, y, rng).better(best)
        best.gain[(level.sizes < self._options.split) | (self._variance[level.nodes] < _LEAST_SPREAD)] = -np.inf
        return best

    def _grown(self, level: Level, split: Split, x: Array, used: int) -> tuple[Level, int]:
        """The children of the nodes that split; the number of nodes after them."""
        parents = np.flatnonzero(np.isfinite(split.gain))
        self._feature[level.nodes[parents]] = split.feature[parents]
        self._threshold[level.nodes[parents]] = split.threshold[parents]
        self._left[level.nodes[parents]] = used + 2 * np.arange(len(parents))
        rank = np.full(len(level.nodes), -1)
        rank[parents] = np.arange(len(parents))
        owner = np.repeat(np.arange(len(level.nodes)), level.sizes)
        kept = rank[owner] >= 0
        row, owner = level.row[kept], owner[kept]
        child = 2 * rank[owner] + (x[row, split.feature[owner]] > split.threshold[owner])
        order = np.argsort(child, kind="stable")
        begin = np.searchsorted(child[order], np.arange(2 * len(parents)))
        return Level(used + np.arange(2 * len(parents)), begin, row[order]), used + 2 * len(parents)


def _random_split(level: Level, x: Array, y: Array, rng: np.random.Generator) -> Split:
    """A random feature of each node, at a random place between its least and its largest value there."""
    count, sizes = len(level.nodes), level.sizes
    feature = rng.integers(0, x.shape[1], count)
    owner = np.repeat(np.arange(count), sizes)
    values = x[level.row, feature[owner]]
    low, high = np.minimum.reduceat(values, level.begin), np.maximum.reduceat(values, level.begin)
    threshold = low + rng.random(count) * (high - low)
    goes_left = values <= threshold[owner]
    targets = y[level.row]
    left = np.add.reduceat(goes_left.astype(np.float64), level.begin)
    left_sum = np.add.reduceat(targets * goes_left, level.begin)
    right_sum = np.add.reduceat(targets, level.begin) - left_sum
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = left_sum**2 / left + right_sum**2 / (sizes - left)
    return Split(feature, threshold, np.where((left > 0) & (left < sizes), gain, -np.inf))
