"""Gradient-boosted trees on the values of the variables (Heron, ASPLOS 2023, section 5.2), and what they amount to."""

from __future__ import annotations

from dataclasses import dataclass

from flextune.cost.boosting import PAIRS, SQUARED_ERROR, Growth, Trees, grown
from flextune.cost.cost_model import Scores
from flextune.cost.cost_model_options import CostModelOptions, option
from flextune.cost.features import Features, FeatureTable, Numbers, value_features
from flextune.cost.learned import LearnedCostModel
from flextune.cost.learner import Learner, calibrated, scaled_scores
from flextune.cost.shared_features import computed_features


@dataclass(frozen=True, slots=True)
class TreesOptions(CostModelOptions):
    """`loss` is of the throughput itself, or of the order of pairs."""

    loss: str = option("regression", choices=("regression", "ranking"))
    rounds: int = option(100, low=1, high=10_000)
    """Trees, one after the other."""
    max_depth: int = option(4, low=1, high=12)
    """Comparisons from the root to a leaf, at most."""
    learning_rate: float = option(0.1, low=0.001, high=1)
    """The part of each tree's prediction that is added."""
    row_fraction: float = option(0.8, low=0.1, high=1)
    """The part of the rows that a tree sees."""
    feature_fraction: float = option(0.5, low=0.05, high=1)
    """The part of the features that a tree sees."""

    @property
    def growth(self) -> Growth:
        return Growth(self.rounds, self.max_depth, self.learning_rate, self.row_fraction, self.feature_fraction)


class TreesCostModel(LearnedCostModel[TreesOptions]):
    """Boosted trees on the variables' values and the analysis of the tile that they make."""

    options_type = TreesOptions

    def features(self) -> FeatureTable:
        return FeatureTable((*value_features(self.names), *computed_features(self.names, self.task)))

    def learner(self) -> Learner:
        growth = self.options.growth
        return RankedTrees(growth) if self.options.loss == "ranking" else ThroughputTrees(growth)


@dataclass(frozen=True, slots=True)
class ThroughputTrees:
    """Trees for how the throughput differs from what was expected."""

    growth: Growth

    def fit(self, rows: Features, throughput: Numbers, base: Numbers, seed: int) -> FittedThroughput:
        return FittedThroughput(grown(rows, throughput - base, SQUARED_ERROR, self.growth, seed))


@dataclass(frozen=True, slots=True)
class FittedThroughput:
    trees: Trees

    def predict(self, rows: Features, base: Numbers) -> Scores:
        return base + self.trees.predict(rows)

    def importance(self) -> Numbers:
        return self.trees.importance()


@dataclass(frozen=True, slots=True)
class RankedTrees:
    """Trees for the order of the throughput, starting from the order that was expected."""

    growth: Growth

    def fit(self, rows: Features, throughput: Numbers, base: Numbers, seed: int) -> FittedOrder:
        doubt = max(float((throughput - base).std()), 0.01)
        trees = grown(rows, throughput, PAIRS, self.growth, seed, base / doubt)
        scores = base / doubt + trees.predict(rows)
        return FittedOrder(trees, doubt, calibrated(scores, throughput))


@dataclass(frozen=True, slots=True)
class FittedOrder:
    """`doubt` is the difference of expected throughput that makes a pair's order likely."""

    trees: Trees
    doubt: float
    calibration: tuple[float, float]

    def predict(self, rows: Features, base: Numbers) -> Scores:
        return scaled_scores(base / self.doubt + self.trees.predict(rows), self.calibration)

    def importance(self) -> Numbers:
        return self.trees.importance()
