"""A Gaussian process seen from a fixed pool of candidates: each observation updates the whole pool cheaply."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flextune.surrogate.gaussian_process import extended
from flextune.surrogate.kernel import Array, Kernel

Single = npt.NDArray[np.float32]

_LEAST_VARIANCE = 1e-9
_COLUMNS = 4096
"""Members of the pool whose covariances with all observations are worked out together: about what a cache holds."""


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What a pool knows at one time: the factor and the whitened values of the observations, and what follows."""

    inverse_factor: Array
    whitened_values: Array
    mean: Single
    variance: Single


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
        self._known = Knowledge(inverse_factor, values, values.astype(np.float32) @ whitened, variance)

    @property
    def knowledge(self) -> Knowledge:
        """What it knows now; `restore` forgets everything else."""
        return self._known

    def restore(self, knowledge: Knowledge) -> None:
        self._known = knowledge

    @property
    def room(self) -> int:
        """How many more observations there is memory for."""
        return len(self._x) - len(self._known.whitened_values)

    @property
    def mean(self) -> Single:
        return self._known.mean

    @property
    def std(self) -> Single:
        result: Single = np.sqrt(np.maximum(self._known.variance, np.float32(_LEAST_VARIANCE)))
        return result

    def observe(self, row: Array, value: float | None) -> None:
        """One more observation, at the features `row`; None stands for the value that is expected there."""
        known, n = self._known, len(self._known.whitened_values)
        whitened_row = known.inverse_factor @ self._kernel.between(self._x[:n], row[None])[:, 0]
        inverse_factor = extended(known.inverse_factor, self._kernel, self._x[:n], row)
        surprise = (
            0.0 if value is None else (value - float(whitened_row @ known.whitened_values)) * inverse_factor[n, n]
        )
        at_pool = self._kernel.between(row[None].astype(np.float32), self._pool)[0]
        at_pool -= whitened_row.astype(np.float32) @ self._whitened[:n]
        at_pool *= np.float32(inverse_factor[n, n])
        self._x[n], self._whitened[n] = row, at_pool
        mean = known.mean + np.float32(surprise) * at_pool
        values = np.append(known.whitened_values, surprise)
        self._known = Knowledge(inverse_factor, values, mean, known.variance - at_pool * at_pool)
