"""What the learned cost models differ in: how a function of the features is fitted to measured throughput."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from flextune.cost.cost_model import Scores
from flextune.cost.features import Features, Numbers


class Fitted(Protocol):
    """A function of the features."""

    def predict(self, rows: Features, base: Numbers) -> Scores:
        """One finite score per row, higher is better; about the throughput relative to the best row's of the fit."""

    def importance(self) -> Numbers:
        """How much each feature decides, not negative, in any unit."""


class Learner(Protocol):
    """Fits a `Fitted` to rows and their throughput.

    `throughput` has the best row's time divided by each row's: 1 for the best, and more than 0. `base` is what was
    expected of each row before, on the same scale, and the same for all rows where nothing was; what is fitted is how
    the truth differs from it. Two rows of the same features may have different throughput. The same call gives the
    same function.
    """

    def fit(self, rows: Features, throughput: Numbers, base: Numbers, seed: int) -> Fitted: ...


def calibrated(scores: Numbers, throughput: Numbers) -> tuple[float, float]:
    """(offset, slope) such that exp(offset + slope * score) is near the throughput; the slope is not negative.

    Turns scores of which only the order means something into relative throughput, in the same order.
    """
    target = np.log(np.maximum(throughput, 1e-6))
    spread = float(scores.var())
    slope = float(((scores - scores.mean()) * (target - target.mean())).mean() / spread) if spread > 0 else 0.0
    slope = max(slope, 1e-3)
    return float(target.mean() - slope * scores.mean()), slope


def scaled_scores(scores: npt.NDArray[np.floating], calibration: tuple[float, float]) -> Scores:
    """The scores as relative throughput, see `calibrated`; never so far out that the order is lost."""
    offset, slope = calibration
    return np.exp(np.clip(offset + slope * np.asarray(scores, dtype=np.float64), -30, 5))
