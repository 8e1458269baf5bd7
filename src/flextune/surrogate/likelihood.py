"""Fitting a Gaussian process's hyperparameters: how well a kernel explains what was observed, and which does it best.

The log marginal likelihood of observations y with covariance K is −½ yᵀK⁻¹y − ½ log det K: the first term rewards
kernels that fit, the second those that are simple (Rasmussen and Williams, Gaussian Processes for Machine Learning,
2006, equation 5.8). A normal prior on the logarithms of the hyperparameters is added (maximum a posteriori): with three
observations and dozens of lengths, likelihood alone would say anything. The gradient (equation 5.9) is
½ tr((K⁻¹ − K⁻¹y yᵀK⁻¹) ∂K/∂θ); all hyperparameters share the matrix in front. It is followed by BFGS.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from flextune.surrogate.covariance import Array, Kernel, prior_deviations
from flextune.surrogate.quasi_newton import minimised

_SQRT5 = math.sqrt(5)


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Of kernels, given values `y` at the rows of `x`: the marginal likelihood times a prior around the typical kernel.

    `squares` and `differs` hold, per feature, the squared differences of all pairs of rows, and which differ at all.
    """

    y: Array
    squares: Array
    differs: Array

    @classmethod
    def of(cls, x: Array, y: Array) -> Likelihood:
        difference = np.ascontiguousarray((x[:, None] - x[None]).transpose(2, 0, 1))
        return cls(y, difference**2, (difference != 0).astype(np.float64))

    def loss(self, vector: Array) -> tuple[float, Array]:
        """Negative log posterior (less a constant) of the kernel with these logarithms, and its gradient.

        Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, equations 5.8 and 5.9.
        """
        kernel, features = Kernel.of_vector(vector), len(self.squares)
        # K, in its two parts and the noise
        scaled = np.tensordot(kernel.lengths**-2, self.squares, 1)
        far = _SQRT5 * np.sqrt(scaled)
        decay = np.exp(-far)
        smooth = kernel.smooth * (1 + far + 5 / 3 * scaled) * decay
        stepped = kernel.stepped * np.exp(-np.tensordot(kernel.weights, self.differs, 1))
        covariance = smooth + stepped
        covariance[np.diag_indices(len(self.y))] += kernel.noise
        try:
            factor = np.linalg.cholesky(covariance)
        except np.linalg.LinAlgError:
            return math.inf, np.zeros_like(vector)  # not positive definite by rounding: the line search steps back
        inverse_factor = np.linalg.inv(factor)
        inverse = inverse_factor.T @ inverse_factor
        explained = inverse @ self.y  # K⁻¹ y
        # d loss / d K: one matrix, with which each hyperparameter's ∂K/∂θ is multiplied entry by entry and summed.
        # The parameters are logarithms: ∂K/∂log θ = θ ∂K/∂θ.
        sensitivity = 0.5 * (inverse - np.outer(explained, explained))
        gradient = np.empty_like(vector)
        slope = sensitivity * (kernel.smooth * 5 / 3 * (1 + far) * decay)
        gradient[:features] = (self.squares.reshape(features, -1) @ slope.ravel()) * kernel.lengths**-2
        slope = sensitivity * stepped
        gradient[features:-3] = -(self.differs.reshape(features, -1) @ slope.ravel()) * kernel.weights
        free_noise = math.exp(vector[-1])
        gradient[-3:] = (sensitivity * smooth).sum(), slope.sum(), np.trace(sensitivity) * free_noise
        loss = 0.5 * float(self.y @ explained) + float(np.log(np.diag(factor)).sum())
        deviation = prior_deviations(features)
        unlikely = (vector - Kernel.typical(features).vector()) / deviation
        return loss + 0.5 * float(unlikely @ unlikely), gradient + unlikely / deviation

    def best(self, start: Kernel, steps: int) -> Kernel:
        """The most likely kernel within a number of quasi-Newton steps from `start`."""
        return Kernel.of_vector(minimised(self.loss, start.vector(), steps))
