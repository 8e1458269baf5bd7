"""How likely a candidate is to run at all, learned from those that failed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from flextune.cost.boosting import Growth, Objective, Trees, grown
from flextune.cost.features import Features, Numbers

GROWTH = Growth(rounds=60, max_depth=3, least_rows=0.5)


def fit_chance(rows: Features, ran: npt.NDArray[np.bool_], seed: int) -> Trees | None:
    """From features to the chance that a candidate runs; None where all ran or all failed: then nothing separates them.

    The chance is that of all rows before the trees, and at least one more of each kind is imagined.
    """
    if ran.all() or not ran.any():
        return None
    chance = (ran.sum() + 1) / (len(ran) + 2)
    return grown(rows, ran.astype(np.float64), Objective("binary:logistic", float(chance)), GROWTH, seed)


def chances(trees: Trees | None, rows: Features) -> Numbers:
    """The chance of each row to run; 1 where nothing is known of failures."""
    return np.ones(len(rows)) if trees is None else trees.predict(rows)
