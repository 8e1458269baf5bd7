"""A small ensemble of multi-layer perceptrons on the variables and the analysis (torch; extra `rl`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from flextune.cost.cost_model import Scores
from flextune.cost.cost_model_options import CostModelOptions, option
from flextune.cost.features import Features, FeatureTable, Numbers, log_features
from flextune.cost.learned import LearnedCostModel
from flextune.cost.learner import Learner, calibrated, scaled_scores
from flextune.cost.networks import Networks, Training
from flextune.cost.scaling import Scaling
from flextune.cost.shared_features import computed_features
from flextune.torch_import import load_torch

_LEAST_SPREAD = 0.01
_BATCH, _BATCH_OF_PAIRS = 256, 128


@dataclass(frozen=True, slots=True)
class MlpOptions(CostModelOptions):
    """`loss` is of the throughput itself, or of the order of all pairs; `networks` learn from samples of their own."""

    loss: str = option("regression", choices=("regression", "ranking"))
    networks: int = option(4, low=1, high=32)
    width: int = option(64, low=4, high=1024)
    """Units of each of the two hidden layers."""
    steps: int = option(200, low=1, high=10_000)
    """Of the optimiser, each time that the networks are trained."""
    rate: float = option(0.01, low=1e-5, high=1)
    """The first learning rate; it falls to 0."""
    decay: float = option(2.0, low=0, high=100)
    """Of the weights, a unit of rate."""

    @property
    def training(self) -> Training:
        batch = _BATCH_OF_PAIRS if self.loss == "ranking" else _BATCH
        return Training(self.networks, self.width, self.steps, self.rate, self.decay, batch)


class MlpCostModel(LearnedCostModel[MlpOptions]):
    """Small neural networks on the variables' logarithms and the analysis of the tile that they make."""

    options_type = MlpOptions

    def features(self) -> FeatureTable:
        return FeatureTable((*log_features(self.names), *computed_features(self.names, self.task)))

    def learner(self) -> Learner:
        load_torch("the cost model 'mlp'")
        return NetworkLearner(self.options.training, self.options.loss == "ranking")


@dataclass(frozen=True, slots=True)
class NetworkLearner:
    """Fits networks to how the throughput differs from what was expected, or to its order."""

    training: Training
    ranks: bool

    def fit(self, rows: Features, throughput: Numbers, base: Numbers, seed: int) -> FittedNetworks:
        scaling = Scaling.to_unit_deviation(rows)
        networks = Networks(len(scaling.used), self.training, np.random.default_rng(seed))
        doubt = max(float((throughput - base).std()), _LEAST_SPREAD)
        scaled = scaling.scaled(rows)
        if self.ranks:
            networks.train(scaled, pair_loss(throughput, base / doubt))
        else:
            networks.train(scaled, squared_loss((throughput - base) / doubt))
        scores = base / doubt + networks.outputs(scaled)
        calibration = calibrated(scores, throughput) if self.ranks else None
        return FittedNetworks(networks, scaling, doubt, calibration, scaling.spread(networks.sensitivity(scaled)))


def squared_loss(targets: Numbers) -> Any:
    """The mean square of the outputs' distance from the targets at the positions."""
    torch = load_torch("the cost model 'mlp'")
    wanted = torch.from_numpy(targets.astype(np.float32))
    return lambda outputs, positions: ((outputs - wanted[positions]) ** 2).mean()


def pair_loss(throughput: Numbers, base: Numbers) -> Any:
    """The logistic loss of all pairs in a batch, the faster of which should have the higher output plus base.

    RankNet (Burges et al., ICML 2005). Pairs count by how much faster the faster one is.
    """
    torch = load_torch("the cost model 'mlp'")
    speed, start = (torch.from_numpy(each.astype(np.float32)) for each in (throughput, base))

    def loss(outputs: Any, positions: Any) -> Any:
        scores, speeds = outputs + start[positions], speed[positions]
        gains = (speeds[:, :, None] - speeds[:, None, :]).clamp(min=0)
        losses = torch.nn.functional.softplus(scores[:, None, :] - scores[:, :, None])
        return (losses * gains).sum() / gains.sum().clamp(min=1e-6)

    return loss


@dataclass(frozen=True, slots=True)
class FittedNetworks:
    """`doubt` is the scale of the networks' outputs."""

    networks: Networks
    """After training."""
    scaling: Scaling
    """Of the features."""
    doubt: float
    calibration: tuple[float, float] | None
    """Offset and factor from outputs to throughputs, where one is known."""
    sensitivity: Numbers
    """How much the outputs change with each feature."""

    def predict(self, rows: Features, base: Numbers) -> Scores:
        scores = base / self.doubt + self.networks.outputs(self.scaling.scaled(rows))
        return scaled_scores(scores, self.calibration) if self.calibration is not None else scores * self.doubt

    def importance(self) -> Numbers:
        return self.sensitivity
