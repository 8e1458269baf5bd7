"""Gradient-boosted trees through XGBoost, as the cost models use them.

XGBoost and LightGBM rank unseen schedules about equally well after 32 to 300 rows and train equally fast; XGBoost loads
faster and needs less memory. Shallow trees on random halves of the features rank best when there are few rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np

from flextune.cost.cost_model import Scores
from flextune.cost.features import Features, Numbers
from flextune.imports import hidden

_THREADS = 1
"""A second thread gains nothing below 1000 rows and waits for busy cores."""


@cache
def _xgboost() -> Any:
    """The library, loaded when the first trees are: many runs end before that."""
    with hidden("sklearn"):  # a convenience of XGBoost's that takes a second to import
        import xgboost
    return xgboost


@dataclass(frozen=True, slots=True)
class Growth:
    """How trees are grown."""

    rounds: int = 100
    """Trees, one after the other."""
    max_depth: int = 4
    """Comparisons from the root to a leaf, at most."""
    learning_rate: float = 0.1
    """The part of each tree's prediction that is added."""
    row_fraction: float = 0.8
    """The part of the rows that a tree sees."""
    feature_fraction: float = 0.5
    """The part of the features that a tree sees."""
    least_rows: float = 1.0
    """Rows in a leaf, at least."""


@dataclass(frozen=True, slots=True)
class Objective:
    """What trees are grown for: an XGBoost objective with its own parameters, and the score they start from."""

    name: str
    base_score: float = 0.0
    parameters: Mapping[str, object] = field(default_factory=dict)
    ranks: bool = False
    """Whether rows are compared within groups, instead of each with its label."""

    def starting_at(self, score: float) -> Objective:
        return replace(self, base_score=score)


SQUARED_ERROR = Objective("reg:squarederror")
PAIRS = Objective(
    "rank:pairwise", parameters={"lambdarank_pair_method": "mean", "lambdarank_num_pair_per_sample": 16}, ranks=True
)
"""The order of pairs of rows of one group, of which each row is in 16 random ones (Burges 2010, RankNet)."""


class Trees:
    """A function of the features."""

    def __init__(self, booster: Any, features: int) -> None:
        self.booster = booster
        self.features = features

    def predict(self, rows: Features) -> Scores:
        if not len(rows):
            return np.zeros(0)
        return np.asarray(self.booster.inplace_predict(rows), dtype=np.float64)

    def importance(self) -> Numbers:
        """What each feature's splits gained in all."""
        gains = self.booster.get_score(importance_type="total_gain")
        return np.array([gains.get(f"f{index}", 0.0) for index in range(self.features)])


def grown(
    rows: Features,
    labels: Numbers,
    objective: Objective,
    growth: Growth,
    seed: int,
    base: Numbers | None = None,
    groups: Sequence[int] | None = None,
) -> Trees:
    """Trees fitted to the labels; NaN in the rows is missing.

    `base` is what the trees' scores are added to; `groups` are the lengths of the runs of rows that are ranked among
    themselves (for `PAIRS`; all rows unless given).
    """
    xgboost = _xgboost()
    data = xgboost.DMatrix(rows, label=labels, nthread=_THREADS)
    if base is not None:
        data.set_base_margin(base)
    if objective.ranks:
        data.set_group(list(groups) if groups is not None else [len(rows)])
    parameters = {
        "objective": objective.name,
        "base_score": objective.base_score,
        "max_depth": growth.max_depth,
        "learning_rate": growth.learning_rate,
        "subsample": growth.row_fraction,
        "colsample_bytree": growth.feature_fraction,
        "min_child_weight": growth.least_rows,
        "nthread": _THREADS,
        "seed": seed,
        "verbosity": 0,
        **objective.parameters,
    }
    return Trees(xgboost.train(parameters, data, num_boost_round=growth.rounds), rows.shape[1])


def trees_json(trees: Trees) -> object:
    """XGBoost's own JSON form of the trees, as dictionaries, lists, numbers and texts."""
    return json.loads(bytes(trees.booster.save_raw("json")))


def trees_from_json(values: object) -> Trees:
    """Inverse of `trees_json`. Raises `ValueError` for anything else, and for trees that cannot be walked."""
    _check_trees(values)
    xgboost = _xgboost()
    booster = xgboost.Booster({"nthread": _THREADS, "verbosity": 0})
    try:
        booster.load_model(bytearray(json.dumps(values).encode()))
    except xgboost.core.XGBoostError as error:
        raise ValueError(f"trees that XGBoost cannot read ({str(error).strip().splitlines()[-1]:.100})") from None
    return Trees(booster, int(booster.num_features()))


def _check_trees(values: Any) -> None:
    """XGBoost trusts what it reads: so every child has to come after its node, and every feature has to exist."""
    try:
        features = int(values["learner"]["learner_model_param"]["num_feature"])
        for tree in values["learner"]["gradient_booster"]["model"]["trees"]:
            nodes = len(tree["left_children"])
            if any(len(tree[part]) != nodes for part in _NODE_PARTS):
                raise ValueError("trees whose parts do not belong together")
            for node, children in enumerate(zip(tree["left_children"], tree["right_children"], strict=True)):
                leaf = children == (-1, -1)
                if not (
                    leaf
                    or (node < min(children) <= max(children) < nodes and 0 <= tree["split_indices"][node] < features)
                ):
                    raise ValueError("trees with a node that leads nowhere")
    except (TypeError, LookupError):
        raise ValueError("trees that are not of XGBoost's form") from None


_NODE_PARTS = ("right_children", "split_indices", "split_conditions", "default_left", "base_weights", "split_type")
