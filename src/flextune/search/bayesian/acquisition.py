"""The acquisition function of Bayesian optimisation, and the unmeasured candidates at which it is largest.

Two Gaussian processes are the surrogate models: one of the times of what ran, one of what runs at all. The acquisition
function is the expected improvement under the first times the probability to run under the second (Gelbart, Snoek and
Adams, "Bayesian optimization with unknown constraints", 2014). It is evaluated at every member of a candidate pool.

A batch is chosen one by one, each as if those before it had been measured with the mean predicted for them (the
"kriging believer" of Ginsbourger, Le Riche and Carraro, 2010); afterwards the models forget these made-up values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from flextune.csp.assignment import Assignment, Assignments
from flextune.search.bayesian.candidate_pool import CandidatePools, Pool
from flextune.search.bayesian.refinement import Refinement
from flextune.search.unseen import Unseen, joined
from flextune.surrogate.covariance import Array, Kernel
from flextune.surrogate.expected_improvement import expected_improvement
from flextune.surrogate.feature_map import FeatureMap
from flextune.surrogate.likelihood import Likelihood
from flextune.surrogate.log_target import LogTarget
from flextune.surrogate.pool_posterior import Prediction, Single
from flextune.surrogate.pool_surrogate import PoolSurrogate, Rows
from flextune.trial.history import History

_BATCH = 32
"""How many of a batch are chosen as if those before had the expected times; others follow from the same model."""
_MEASURED_PARENTS = 2
_LEAST_WIDE_CAP = 0.8
"""Of variables with many values also slow candidates tell which way to go."""
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
        self,
        history: History,
        unseen: Unseen,
        features: Sequence[FeatureMap],
        pools: CandidatePools,
        refinement: Refinement,
        options: AcquisitionOptions,
    ) -> None:
        self._history = history
        self._refinement = refinement
        self._unseen = unseen
        self._choices = tuple(features)
        self._features = features[0]
        self._pools = pools
        self._options = options
        count = len(self._features.names)
        self._x: Array = np.empty((0, count))
        self._time = PoolSurrogate(count, options.kernel_steps)
        self._feasibility = PoolSurrogate(count, options.kernel_steps)
        self._typical = Kernel.typical(count)
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
        chosen: list[Assignments] = []
        for _ in range(n):
            best = self._maximum(pool, {each[0] for each in chosen}, rng)
            if not len(best):
                break
            chosen.append(best)
            if len(chosen) < n:
                self._observe(self._features.of(best)[0], None)
        self._time.restore(before[0])
        self._feasibility.restore(before[1])
        return joined(chosen) if chosen else pool.members.take(np.empty(0, dtype=np.intp))

    def _maximum(self, pool: Pool, besides: Set[Assignment], rng: np.random.Generator) -> Assignments:
        """The unseen member of the largest value, in the pool or beside its best; none where all of it are known."""
        time, feasibility = self._time.posterior, self._feasibility.posterior
        values = self._acquired(
            None if time is None else time.prediction,
            None if feasibility is None else feasibility.prediction,
            len(pool.x),
        )
        values[self._known] = -1
        best = self._best_unseen(pool, values, besides)
        found = pool.members.take(np.array([] if best is None else [best], dtype=np.intp))
        if best is None or pool.is_whole or not self._refinement.useful:
            return found
        nearby = joined([found, pool.members.take(self._refinement.parents_of(values))])
        measured = self._history.best(_MEASURED_PARENTS)
        if len(measured):
            nearby = joined([nearby, self._history.assignments().take(measured)])
        return self._refinement.best_beside(nearby, self._value, besides, rng)

    def _best_unseen(self, pool: Pool, values: Single, besides: Set[Assignment]) -> int | None:
        """Its position in the pool; those before it have no value afterwards."""
        while True:
            index = int(values.argmax())
            if values[index] < 0:
                return None
            values[index] = -1
            if pool.members[index] not in self._unseen:
                self._known[index] = True
            elif pool.members[index] not in besides:
                return index

    def _value(self, members: Assignments) -> Single:
        """The acquisition function at members that are not in the pool."""
        x = self._features.of(members).astype(np.float32)
        time, feasibility = self._time.posterior, self._feasibility.posterior
        return self._acquired(
            None if time is None else time.at(x), None if feasibility is None else feasibility.at(x), len(x)
        )

    def _acquired(self, time: Prediction | None, feasible: Prediction | None, count: int) -> Single:
        """The acquisition function where these are the posteriors of the time and of whether it runs."""
        values = np.ones(count, dtype=np.float32)
        if time is not None:
            values = expected_improvement(time.mean, time.std, self._best)
        if feasible is not None:
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
        cap = max(self._options.cap, _LEAST_WIDE_CAP) if self._refinement.useful else self._options.cap
        self._target = LogTarget.fitted(secs[ran], cap)
        y = self._target.of(secs[rows])
        self._best = float(y.min())
        learn = informative(secs[rows], self._options.kernel_rows, rng)
        if len(self._choices) > 1:
            self._choose_features(rows[learn], y[learn])
        self._time.fit(self.x[rows], y, learn, self._pool.x, room)

    def _choose_features(self, rows: Rows, y: Array) -> None:
        """Those under which the measurements are most likely."""
        members = self._history.assignments().take(rows)
        losses = [self._loss(features.of(members), y) for features in self._choices]
        chosen = self._choices[int(np.argmin(losses))]
        if chosen is self._features:
            return
        assert self._pool is not None
        self._features = self._pools.features = chosen
        self._x = chosen.of(self._history.assignments())
        self._pool = replace(self._pool, x=chosen.of(self._pool.members).astype(np.float32))

    def _loss(self, x: Array, y: Array) -> float:
        likelihood = Likelihood.of(x, y)
        return likelihood.loss(likelihood.best(self._typical, self._options.kernel_steps).vector())[0]

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
