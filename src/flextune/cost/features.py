"""Assignments as rows of numbers to train on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from flextune.csp.assignment import Assignments

Features = npt.NDArray[np.float32]


def features(assignments: Assignments, names: Sequence[str]) -> Features:
    """Array (assignments, 2 * variables): the values as they are, then the base-2 logarithm of their size plus one.

    Tile sizes act by their ratios, flags and counts by their value; trees take what separates best.
    """
    values = assignments.matrix(names).astype(np.float64)
    return np.concatenate([values, np.copysign(np.log2(1 + np.abs(values)), values)], axis=1, dtype=np.float32)
