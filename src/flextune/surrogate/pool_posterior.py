"""The posterior of a Gaussian process over a fixed pool of candidates: each observation updates all of it cheaply.

With the Cholesky factor L of the observations' covariance, the *whitened* covariances W = L⁻¹ k(x, pool) and the
whitened values v = L⁻¹ y, the posterior at the pool has mean vᵀ W and variance k − Σ W² (Rasmussen and Williams, 2006,
algorithm 2.1). One more observation adds one row to L⁻¹, to W and to v; nothing that is there changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flextune.surrogate.covariance import Array, Kernel
from flextune.surrogate.gaussian_process import extended

Single = npt.NDArray[np.float32]

_LEAST_VARIANCE = 1e-9
_COLUMNS = 4096
"""Members of the pool whose covariances with all observations are worked out together: about what a cache holds."""


@dataclass(frozen=True, slots=True)
class PosteriorState:
    """What an observation changes. Frozen: going back to an earlier state forgets all observations since."""

    inverse_factor: Array
    whitened_values: Array
    mean: Single
    variance: Single


@dataclass(frozen=True, slots=True)
class Prediction:
    """Mean and standard deviation at some points."""

    mean: Single
    std: Single


class PoolPosterior:
    """Mean and standard deviation at the rows of `pool`, given values `y` at the rows of `x` and a kernel.

    Making one costs n² · len(pool) for n observations, each further one n · len(pool); there is memory for `room` of
    them. Observations are kept in double precision, the pool in single precision.
    """

    def __init__(self, kernel: Kernel, x: Array, y: Array, pool: Single, room: int = 32) -> None:
        self._kernel = kernel
        self._pool = np.asfortranarray(pool)  # covariances go by feature
        self._x = np.concatenate([x, np.zeros((room, x.shape[1]))])
        inverse_factor = np.linalg.inv(np.linalg.cholesky(kernel.among(x)))
        self._whitened = np.empty((len(self._x), len(pool)), dtype=np.float32)
        whitened = self._whitened[: len(x)]
        factor, observed = inverse_factor.astype(np.float32), x.astype(np.float32)
        for begin in range(0, len(pool), _COLUMNS):
            part = slice(begin, begin + _COLUMNS)
            whitened[:, part] = factor @ kernel.between(observed, self._pool[part])
        values = inverse_factor @ y
        variance = np.float32(kernel.variance) - np.einsum("ij,ij->j", whitened, whitened)
        self._state = PosteriorState(inverse_factor, values, values.astype(np.float32) @ whitened, variance)

    @property
    def state(self) -> PosteriorState:
        """What was observed up to now; `restore` brings it back."""
        return self._state

    def restore(self, state: PosteriorState) -> None:
        self._state = state

    @property
    def room(self) -> int:
        """How many more observations there is memory for."""
        return len(self._x) - len(self._state.whitened_values)

    @property
    def mean(self) -> Single:
        return self._state.mean

    @property
    def std(self) -> Single:
        return _deviation(self._state.variance)

    @property
    def prediction(self) -> Prediction:
        """At the pool."""
        return Prediction(self.mean, self.std)

    def at(self, rows: Single) -> Prediction:
        """At other points, the same as if they were in the pool."""
        state, n = self._state, len(self._state.whitened_values)
        whitened = state.inverse_factor.astype(np.float32) @ self._kernel.between(self._x[:n].astype(np.float32), rows)
        variance = np.float32(self._kernel.variance) - np.einsum("ij,ij->j", whitened, whitened)
        return Prediction(state.whitened_values.astype(np.float32) @ whitened, _deviation(variance))

    def observe(self, row: Array, value: float | None) -> None:
        """One more observation, at the features `row`; None stands for the value that is expected there."""
        state, n = self._state, len(self._state.whitened_values)
        whitened_row = state.inverse_factor @ self._kernel.between(self._x[:n], row[None])[:, 0]
        inverse_factor = extended(state.inverse_factor, self._kernel, self._x[:n], row)
        surprise = (
            0.0 if value is None else (value - float(whitened_row @ state.whitened_values)) * inverse_factor[n, n]
        )
        at_pool = self._kernel.between(row[None].astype(np.float32), self._pool)[0]
        at_pool -= whitened_row.astype(np.float32) @ self._whitened[:n]
        at_pool *= np.float32(inverse_factor[n, n])
        self._x[n], self._whitened[n] = row, at_pool
        mean = state.mean + np.float32(surprise) * at_pool
        values = np.append(state.whitened_values, surprise)
        self._state = PosteriorState(inverse_factor, values, mean, state.variance - at_pool * at_pool)


def _deviation(variance: Single) -> Single:
    result: Single = np.sqrt(np.maximum(variance, np.float32(_LEAST_VARIANCE)))
    return result
