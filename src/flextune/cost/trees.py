"""Gradient-boosted trees on the values of the variables (Heron, ASPLOS 2023, section 5.2), through XGBoost.

XGBoost and LightGBM rank unseen schedules about equally well after 32 to 300 rows and train equally fast; XGBoost loads
faster and needs less memory. Shallow trees on random halves of the features rank best when there are few rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from flextune.cost.features import features
from flextune.cost.model import CostModel, Scores
from flextune.csp.assignment import Assignments
from flextune.imports import hidden

from flextune.trial.history import History

with hidden("sklearn"):  # a convenience of XGBoost's that takes a second to import
    import xgboost

if TYPE_CHECKING:
    from flextune.trial.measurement import Measurement


@dataclass(frozen=True, slots=True)
class TreesOptions:
    """How the trees are grown. A second thread gains nothing below 1000 rows and waits for busy cores."""

    rounds: int = 100
    max_depth: int = 4
    learning_rate: float = 0.1
    row_fraction: float = 0.8
    feature_fraction: float = 0.5
    threads: int = 1


class TreesCostModel(CostModel):
    """Predicts the throughput relative to the best one seen; trained anew when there are new rows."""

    def __init__(self, names: Sequence[str], seed: int, options: TreesOptions | None = None) -> None:
        self._names = tuple(names)
        self._seed = seed
        self._options = options or TreesOptions()
        self._history = History(names)
        self._trained: xgboost.Booster | None = None
        self._is_current = True

    def predict(self, assignments: Assignments) -> Scores:
        model = self._model() if len(assignments) else None
        if model is None:
            return np.zeros(len(assignments))
        scores = model.inplace_predict(features(assignments, self._names))
        return np.asarray(scores, dtype=np.float64)

    def update(self, measurements: Sequence[Measurement]) -> None:
        self._history.add(measurements)
        self._is_current = self._is_current and not measurements

    def importance(self) -> Mapping[str, float]:
        model = self._model()
        gains = {} if model is None else model.get_score(importance_type="total_gain")
        total = sum(gains.values())
        if not total:
            return {}
        count = len(self._names)
        return {
            name: (gains.get(f"f{index}", 0.0) + gains.get(f"f{index + count}", 0.0)) / total
            for index, name in enumerate(self._names)
        }

    def _model(self) -> xgboost.Booster | None:
        if not self._is_current:
            self._trained = self._train() if math.isfinite(self._history.best_secs) else None
            self._is_current = True
        return self._trained

    def _train(self) -> xgboost.Booster:
        targets = self._history.fitness()
        rows = xgboost.DMatrix(
            features(self._history.assignments(), self._names), label=targets, nthread=self._options.threads
        )
        parameters = {
            "objective": "reg:squarederror",
            "base_score": float(targets.mean()),
            "max_depth": self._options.max_depth,
            "learning_rate": self._options.learning_rate,
            "subsample": self._options.row_fraction,
            "colsample_bytree": self._options.feature_fraction,
            "nthread": self._options.threads,
            "seed": self._seed,
            "verbosity": 0,
        }
        return xgboost.train(parameters, rows, num_boost_round=self._options.rounds)
