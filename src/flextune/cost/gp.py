"""A Gaussian process over the variables: smooth in the sizes, stepped in the flags (see `flextune.surrogate`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flextune.cost.cost_model import Scores
from flextune.cost.cost_model_options import CostModelOptions, option
from flextune.cost.features import Features, FeatureTable, Numbers, log_features
from flextune.cost.learned import LearnedCostModel
from flextune.cost.learner import Learner
from flextune.cost.scaling import Scaling
from flextune.cost.shared_features import computed_features
from flextune.surrogate.gaussian_process import GaussianProcess, GaussianProcessOptions


@dataclass(frozen=True, slots=True)
class GpOptions(CostModelOptions):
    """`rows` that are learned from at most, the slowest left out first; `steps` of the kernel's fit, which looks at
    `kernel_rows` of them.
    """

    rows: int = option(400, low=8, high=2000)
    kernel_rows: int = option(120, low=8, high=2000)
    steps: int = option(10, low=1, high=100)


class GpCostModel(LearnedCostModel[GpOptions]):
    """A Gaussian process on the variables' logarithms and the analysis of the tile that they make."""

    options_type = GpOptions

    def features(self) -> FeatureTable:
        return FeatureTable((*log_features(self.names), *computed_features(self.names, self.task)))

    def learner(self) -> Learner:
        return ProcessLearner(self.options)


@dataclass(frozen=True, slots=True)
class ProcessLearner:
    """Fits a process to how the throughput differs from what was expected."""

    options: GpOptions

    def fit(self, rows: Features, throughput: Numbers, base: Numbers, seed: int) -> FittedProcess:
        del seed
        kept = np.sort(np.argsort(-throughput, kind="stable")[: self.options.rows])
        scaling = Scaling.to_unit_range(rows[kept])
        if not scaling.used:
            return FittedProcess(None, scaling)
        process = GaussianProcess(GaussianProcessOptions(self.options.steps, self.options.kernel_rows))
        process.fit(scaling.scaled(rows[kept]).astype(np.float64), (throughput - base)[kept])
        return FittedProcess(process, scaling)


@dataclass(frozen=True, slots=True)
class FittedProcess:
    """Without a process, where all rows looked alike, nothing differs from what was expected."""

    process: GaussianProcess | None
    scaling: Scaling

    def predict(self, rows: Features, base: Numbers) -> Scores:
        if self.process is None:
            return base
        mean, _ = self.process.predict(self.scaling.scaled(rows).astype(np.float64))
        return base + mean

    def importance(self) -> Numbers:
        """The inverse lengths of the kernel's smooth part and the weights of its stepped part, by their variances."""
        if self.process is None:
            return np.zeros(self.scaling.columns)
        kernel = self.process.kernel
        smooth = kernel.smooth / kernel.lengths**2
        return self.scaling.spread(smooth + kernel.stepped * kernel.weights)
