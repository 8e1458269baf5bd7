"""A Gaussian process over what a strategy was told, and the candidates from which it expects the most."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flextune.csp.assignment import Assignments
from flextune.search.candidates import CandidatePools
from flextune.search.unseen import Unseen
from flextune.surrogate.features import FeatureMap
from flextune.surrogate.improvement import expected_improvement
from flextune.surrogate.kernel import Array, Kernel
from flextune.surrogate.likelihood import Likelihood
from flextune.surrogate.pool import PoolPosterior
from flextune.surrogate.target import LogTarget
from flextune.trial.history import History


@dataclass(frozen=True, slots=True)
class GuideOptions:
    """How the model follows the measurements.

    It is fitted anew after `refit_least` more measurements, or `refit_growth` of all of them, whichever is more; to at
    most `rows` of them, of which `kernel_rows` decide on the kernel in `kernel_steps` steps. Times above the `cap`
    quantile all count alike.
    """

    cap: float = 0.5
    refit_least: int = 3
    refit_growth: float = 0.1
    rows: int = 500
    kernel_rows: int = 200
    kernel_steps: int = 10


class Guide:
    """Chooses unseen members of a set by their expected improvement."""

    def __init__(
        self,
        history: History,
        unseen: Unseen,
        features: FeatureMap,
        pools: CandidatePools,
        options: GuideOptions,
    ) -> None:
        self._history = history
        self._unseen = unseen
        self._features = features
        self._pools = pools
        self._options = options
        self._x: Array = np.empty((0, len(features.names)))
        self._kernel = Kernel.typical(len(features.names))
        self._target = LogTarget()
        self._best = math.inf
        self._posterior: PoolPosterior | None = None
        self._pool_members: Assignments | None = None
        self._taken: npt.NDArray[np.bool_] = np.zeros(0, dtype=bool)
        self._followed = 0
        self._refit_at = 0

    @property
    def x(self) -> Array:
        """Features of all that was told, in the order of the history."""
        missing = len(self._history) - len(self._x)
        if missing:
            new = self._features.of(self._history.assignments(len(self._x)))
            self._x = np.concatenate([self._x, new])
        return self._x

    def choose(self, rng: np.random.Generator, n: int) -> Assignments:
        """Up to `n` different unseen assignments, each chosen as if those before had the times that are expected."""
        posterior = self._following(rng)
        assert self._pool_members is not None
        before = posterior.knowledge
        chosen: list[int] = []
        for _ in range(n):
            index = self._most_promising(posterior)
            if index is None:
                break
            chosen.append(index)
            if len(chosen) < n and posterior.room:
                posterior.observe(self._pool_x[index].astype(np.float64), None)
        posterior.restore(before)
        self._taken[chosen] = False  # still unseen until the caller asks for them
        return self._pool_members.take(np.array(chosen, dtype=np.intp))

    def _most_promising(self, posterior: PoolPosterior) -> int | None:
        improvement = expected_improvement(posterior.mean, posterior.std, self._best)
        improvement[self._taken] = -1
        assert self._pool_members is not None
        while True:
            index = int(improvement.argmax())
            if improvement[index] < 0:
                return None
            improvement[index] = -1
            self._taken[index] = True
            if self._pool_members[index] in self._unseen:
                return index

    def _following(self, rng: np.random.Generator) -> PoolPosterior:
        """The posterior, with everything told taken into account."""
        told = len(self._history)
        posterior = self._posterior
        if posterior is None or told >= self._refit_at or told - self._followed > posterior.room:
            return self._fitted(rng)
        if told > self._followed:
            y = self._target.of(self._history.secs()[self._followed :])
            for row, value in zip(self.x[self._followed :], y.tolist(), strict=True):
                posterior.observe(row, value)
                self._best = min(self._best, value)
            self._followed = told
        return posterior

    def _fitted(self, rng: np.random.Generator) -> PoolPosterior:
        secs = self._history.secs()
        told = len(secs)
        rows = informative(secs, self._options.rows, rng)
        self._target = LogTarget.fitted(secs, self._options.cap)
        y = self._target.of(secs)
        learn = rows[informative(secs[rows], self._options.kernel_rows, rng)]
        self._kernel = Likelihood.of(self.x[learn], y[learn]).best(self._kernel, self._options.kernel_steps)
        self._best = float(y.min())
        self._followed = told
        more = max(self._options.refit_least, int(self._options.refit_growth * told))
        self._refit_at = told + more
        self._pool_members, self._pool_x = self._pools.around(rng, self._history)
        self._taken = np.zeros(len(self._pool_x), dtype=bool)
        self._posterior = PoolPosterior(self._kernel, self.x[rows], y[rows], self._pool_x, room=more + 32)
        return self._posterior


def informative(secs: Array, count: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """Positions of up to `count` measurements: half of them the fastest, the others random."""
    if len(secs) <= count:
        return np.arange(len(secs))
    order = np.argsort(secs, kind="stable")
    half = count // 2
    return np.sort(np.concatenate([order[:half], rng.permutation(order[half:])[: count - half]]))
