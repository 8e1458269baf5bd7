"""A surrogate model of one quantity over a pool of candidates: a Gaussian process, fitted anew from time to time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from flextune.surrogate.covariance import Array, Kernel
from flextune.surrogate.likelihood import Likelihood
from flextune.surrogate.pool_posterior import PoolPosterior, PosteriorState, Single

Rows = npt.NDArray[np.intp]


class PoolSurrogate:
    """Values are about zero and of variance about one; there is no posterior before `fit`, nor where all are the same.

    `fit` finds the kernel's hyperparameters and conditions on all observations; `observe` only conditions on one more.
    """

    def __init__(self, features: int, steps: int) -> None:
        self._kernel = Kernel.typical(features)
        self._steps = steps
        self._posterior: PoolPosterior | None = None

    def fit(self, x: Array, y: Array, learn: Rows, pool: Single, room: int) -> None:
        """Observe `y` at `x` over a pool, the kernel fitted to the rows `learn`, starting from the last one."""
        self._kernel = Likelihood.of(x[learn], y[learn]).best(self._kernel, self._steps)
        self._posterior = PoolPosterior(self._kernel, x, y, pool, room)

    def forget(self) -> None:
        """All values are the same: there is no posterior."""
        self._posterior = None

    def observe(self, row: Array, value: float | None) -> None:
        """See `PoolPosterior.observe`."""
        if self._posterior is not None and self._posterior.room:
            self._posterior.observe(row, value)

    @property
    def state(self) -> PosteriorState | None:
        return self._posterior.state if self._posterior is not None else None

    def restore(self, state: PosteriorState | None) -> None:
        if self._posterior is not None and state is not None:
            self._posterior.restore(state)

    @property
    def posterior(self) -> PoolPosterior | None:
        return self._posterior
