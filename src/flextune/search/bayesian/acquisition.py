"""The acquisition function of Bayesian optimisation, and the unmeasured candidates at which it is largest.

Two Gaussian processes are the surrogate models: one of the times of what ran, one of what runs at all. The acquisition
function is the expected improvement under the first times the probability to run under the second (Gelbart, Snoek and
Adams, "Bayesian optimization with unknown constraints", 2014). It is evaluated at every member of a candidate pool.

A batch is chosen one by one, each as if those before it had been measured with the mean predicted for them (the
"kriging believer" of Ginsbourger, Le Riche and Carraro, 2010); afterwards the models forget these made-up values.
"""

from __future__ import annotations

import math
from collections.abc import Set
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flextune.csp.assignment import Assignment, Assignments
from flextune.search.bayesian.candidate_pool import CandidatePools, Pool
from flextune.search.unseen import Unseen
from flextune.surrogate.covariance import Array
from flextune.surrogate.expected_improvement import expected_improvement
from flextune.surrogate.feature_map import FeatureMap
from flextune.surrogate.log_target import LogTarget
from flextune.surrogate.pool_posterior import Single
from flextune.surrogate.pool_surrogate import PoolSurrogate, Rows
from flextune.trial.history import History

_BATCH = 32
"""How many of a batch are chosen as if those before had the expected times; others follow from the same model."""
_LEAST_CHANCE = 0.01
"""That anything runs."""


@dataclass(frozen=True, slots=True)
class AcquisitionOptions:
    """How the surrogate models follow the measurements: fitted anew from time to time, updated in between."""

    cap: float = 0.5
    """The quantile of the times above which all count alike."""
    refit_least: int = 3
    """Fitted anew after at least so many more measurements,"""
    refit_growth: float = 0.1
    """or this share of all of them, whichever is more."""
    rows: int = 500
    """At most so many measurements are in a model."""
    kernel_rows: int = 200
    """At most so many of them decide on the kernel's hyperparameters,"""
    kernel_steps: int = 10
    """in so many quasi-Newton steps."""


class Acquisition:
    """Maximises the acquisition function over the unseen members of a set."""

    def __init__(
        self, history: History, unseen: Unseen, features: FeatureMap, pools: CandidatePools, options: AcquisitionOptions
    ) -> None:
        self._history = history
        self._unseen = unseen
        self._features = features
        self._pools = pools
        self._options = options
        self._x: Array = np.empty((0, len(features.names)))
        self._time = PoolSurrogate(len(features.names), options.kernel_steps)
        self._feasibility = PoolSurrogate(len(features.names), options.kernel_steps)
        self._target = LogTarget()
        self._rate = 1.0
        self._best = math.inf
        self._pool: Pool | None = None
        self._known: npt.NDArray[np.bool_] = np.zeros(0, dtype=bool)
        self._followed = 0
        self._refit_at = 0

    @property
    def x(self) -> Array:
        """Features of all that was told, in the order of the history."""
        if len(self._history) > len(self._x):
            new = self._features.of(self._history.assignments(len(self._x)))
            self._x = np.concatenate([self._x, new])
        return self._x

    def choose(self, rng: np.random.Generator, n: int) -> Assignments:
        """Up to `n` different unseen assignments, each chosen as if those before had the times that are expected."""
        pool = self._following(rng)
        before = self._time.state, self._feasibility.state
        chosen: list[int] = []
        taken: set[Assignment] = set()
        for _ in range(n):
            index = self._maximum(pool, taken)
            if index is None:
                break
            chosen.append(index)
            taken.add(pool.members[index])
            if len(chosen) < n:
                self._observe(pool.x[index].astype(np.float64), None)
        self._time.restore(before[0])
        self._feasibility.restore(before[1])
        return pool.members.take(np.array(chosen, dtype=np.intp))

    def _maximum(self, pool: Pool, besides: Set[Assignment]) -> int | None:
        values = self._acquired(pool)
        values[self._known] = -1
        while True:
            index = int(values.argmax())
            if values[index] < 0:
                return None
            values[index] = -1
            if pool.members[index] not in self._unseen:
                self._known[index] = True
            elif pool.members[index] not in besides:
                return index

    def _acquired(self, pool: Pool) -> Single:
        """The acquisition function at all members of the pool."""
        values = np.ones(len(pool.x), dtype=np.float32)
        if (time := self._time.posterior) is not None:
            values = expected_improvement(time.mean, time.std, self._best)
        if (feasible := self._feasibility.posterior) is not None:
            values = values * np.clip(self._rate + self._rate_spread * feasible.mean, _LEAST_CHANCE, 1)
        return values

    @property
    def _rate_spread(self) -> float:
        return math.sqrt(self._rate * (1 - self._rate))

    def _following(self, rng: np.random.Generator) -> Pool:
        """The pool, with everything told taken into account by the posteriors over it."""
        told = len(self._history)
        if self._pool is None or told >= self._refit_at:
            return self._fitted(rng)
        for row, secs in zip(self.x[self._followed :], self._history.secs()[self._followed :].tolist(), strict=True):
            self._observe(row, secs)
        self._followed = told
        return self._pool

    def _observe(self, row: Array, secs: float | None) -> None:
        if secs is None:
            self._time.observe(row, None)
            self._feasibility.observe(row, None)
            return
        runs = math.isfinite(secs)
        if runs:
            value = float(self._target.of(np.array([secs]))[0])
            self._time.observe(row, value)
            self._best = min(self._best, value)
        if self._feasibility.posterior is not None:
            self._feasibility.observe(row, (runs - self._rate) / self._rate_spread)

    def _fitted(self, rng: np.random.Generator) -> Pool:
        secs = self._history.secs()
        self._followed = len(secs)
        more = max(self._options.refit_least, int(self._options.refit_growth * len(secs)))
        self._refit_at = len(secs) + more
        self._pool = self._pools.around(rng, self._history)
        self._known = np.zeros(len(self._pool.x), dtype=bool)
        runs = np.isfinite(secs)
        self._fit_time(secs, np.flatnonzero(runs), rng, more + _BATCH)
        self._fit_feasibility(runs, rng, more + _BATCH)
        return self._pool

    def _fit_time(self, secs: Array, ran: Rows, rng: np.random.Generator, room: int) -> None:
        assert self._pool is not None
        if not len(ran):
            self._time.forget()
            return
        rows = ran[informative(secs[ran], self._options.rows, rng)]
        self._target = LogTarget.fitted(secs[ran], self._options.cap)
        y = self._target.of(secs[rows])
        self._best = float(y.min())
        learn = informative(secs[rows], self._options.kernel_rows, rng)
        self._time.fit(self.x[rows], y, learn, self._pool.x, room)

    def _fit_feasibility(self, runs: npt.NDArray[np.bool_], rng: np.random.Generator, room: int) -> None:
        assert self._pool is not None
        self._rate = float(runs.mean())
        if not 0 < self._rate < 1:
            self._feasibility.forget()
            return
        rows = _some(len(runs), self._options.rows, rng)
        y = (runs[rows].astype(np.float64) - self._rate) / self._rate_spread
        self._feasibility.fit(self.x[rows], y, _some(len(rows), self._options.kernel_rows, rng), self._pool.x, room)


def informative(secs: Array, count: int, rng: np.random.Generator) -> Rows:
    """Positions of up to `count` measurements: half of them the fastest, the others random."""
    if len(secs) <= count:
        return np.arange(len(secs))
    order = np.argsort(secs, kind="stable")
    half = count // 2
    return np.sort(np.concatenate([order[:half], rng.permutation(order[half:])[: count - half]]))


def _some(total: int, count: int, rng: np.random.Generator) -> Rows:
    """Up to `count` of the positions below `total`, at random."""
    return np.arange(total) if total <= count else np.sort(rng.permutation(total)[:count])
