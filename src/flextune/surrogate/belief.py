"""What is believed about a pool of candidates, by Gaussian processes whose kernels are fitted from time to time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from flextune.surrogate.kernel import Array, Kernel
from flextune.surrogate.likelihood import Likelihood
from flextune.surrogate.pool import Knowledge, PoolPosterior, Single

Rows = npt.NDArray[np.intp]


class Belief:
    """One quantity over a pool, of values about zero and of variance about one; nothing is known before `fit`."""

    def __init__(self, features: int, steps: int) -> None:
        self._kernel = Kernel.typical(features)
        self._steps = steps
        self._posterior: PoolPosterior | None = None

    def fit(self, x: Array, y: Array, learn: Rows, pool: Single, room: int) -> None:
        """Observe `y` at `x` over a pool, the kernel fitted to the rows `learn`, starting from the last one."""
        self._kernel = Likelihood.of(x[learn], y[learn]).best(self._kernel, self._steps)
        self._posterior = PoolPosterior(self._kernel, x, y, pool, room)

    def forget(self) -> None:
        """There is nothing to believe: all values are the same."""
        self._posterior = None

    def observe(self, row: Array, value: float | None) -> None:
        """See `PoolPosterior.observe`."""
        if self._posterior is not None and self._posterior.room:
            self._posterior.observe(row, value)

    @property
    def knowledge(self) -> Knowledge | None:
        return self._posterior.knowledge if self._posterior is not None else None

    def restore(self, knowledge: Knowledge | None) -> None:
        if self._posterior is not None and knowledge is not None:
            self._posterior.restore(knowledge)

    @property
    def posterior(self) -> PoolPosterior | None:
        return self._posterior
