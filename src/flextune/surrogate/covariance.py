"""The covariance of the times of two assignments: a smooth part and a stepped part.

The smooth part is a Matérn kernel (ν = 5/2) with one length per feature: close sizes take close times. The stepped part
decays with the features that differ at all, whatever the difference: what a size divides, or which code a flag selects,
changes the time abruptly, and two assignments have that in common only where they agree.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Real = TypeVar("Real", np.float32, np.float64)

_SQRT5 = math.sqrt(5)
_LEAST_NOISE = 1e-5


@dataclass(frozen=True, slots=True)
class Kernel:
    """k(a, b) = smooth · Matérn52(‖(a − b) / lengths‖) + stepped · exp(−Σ weights · [a ≠ b]), and noise on top.

    `lengths` and `weights` have one positive entry per feature; `smooth`, `stepped` and `noise` are variances.
    """

    lengths: Array
    weights: Array
    smooth: float
    stepped: float
    noise: float

    @property
    def variance(self) -> float:
        """k(a, a), without the noise."""
        return self.smooth + self.stepped

    def between(self, a: npt.NDArray[Real], b: npt.NDArray[Real]) -> npt.NDArray[Real]:
        """Covariances of the rows of `a` and of `b`, shape (len(a), len(b)), in their precision."""
        kind = a.dtype.type
        lengths = self.lengths.astype(kind)
        left, right = a / lengths, b / lengths
        squares = (left * left).sum(axis=1)[:, None] + (right * right).sum(axis=1) - 2 * (left @ right.T)
        np.maximum(squares, 0, out=squares)
        far = np.sqrt(squares) * kind(_SQRT5)
        squares *= kind(5 / 3)
        squares += far
        squares += 1
        squares *= np.exp(-far)
        squares *= kind(self.smooth)
        steps = np.zeros_like(squares)
        for column, weight in enumerate(self.weights.astype(kind)):
            steps -= weight * (a[:, column, None] != b[:, column])
        np.exp(steps, out=steps)
        steps *= kind(self.stepped)
        covariance: npt.NDArray[Real] = squares + steps
        return covariance

    def among(self, x: Array) -> Array:
        """Covariance matrix of noisy observations at the rows of `x`."""
        covariance = self.between(x, x)
        covariance[np.diag_indices(len(x))] = self.variance + self.noise
        return covariance

    def vector(self) -> Array:
        """The logarithms of all parameters, what `of_vector` reads."""
        parts = (self.lengths, self.weights, [self.smooth, self.stepped, self.noise - _LEAST_NOISE])
        return np.log(np.concatenate(parts))

    @classmethod
    def of_vector(cls, vector: Array) -> Kernel:
        """Inverse of `vector`."""
        values = np.exp(vector)
        features = (len(values) - 3) // 2
        smooth, stepped, noise = values[2 * features :].tolist()
        return cls(values[:features], values[features : 2 * features], smooth, stepped, noise + _LEAST_NOISE)

    @classmethod
    def typical(cls, features: int) -> Kernel:
        """What is expected before anything is known, for features scaled to [0, 1] and values of variance one.

        Lengths grow with the root of the number of features, so that the prior says as little about many as about few.
        """
        lengths = np.full(features, 0.5 * math.sqrt(max(1, features)))
        return cls(lengths, np.full(features, 1 / max(1, features)), 1.0, 0.3, 1e-2 + _LEAST_NOISE)


def prior_deviations(features: int) -> Array:
    """How far, in logarithms, each entry of `Kernel.vector` may be from the typical one (one standard deviation)."""
    return np.concatenate([np.ones(2 * features), [1.0, 1.0, 1.5]])
