"""Gaussian processes over what a strategy was told, and the candidates that promise the most by them.

One process learns the times of what ran, another what runs at all. A candidate promises its expected improvement times
the probability that it runs (Gelbart, Snoek and Adams, "Bayesian optimization with unknown constraints", 2014).
"""

from __future__ import annotations

import math
from collections.abc import Set
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flextune.csp.assignment import Assignment, Assignments
from flextune.search.guided.candidates import CandidatePools, Pool
from flextune.search.unseen import Unseen
from flextune.surrogate.belief import Belief, Rows
from flextune.surrogate.features import FeatureMap
from flextune.surrogate.improvement import expected_improvement
from flextune.surrogate.kernel import Array
from flextune.surrogate.pool import Single
from flextune.surrogate.target import LogTarget
from flextune.trial.history import History

_BATCH = 32
"""How many of a round are chosen as if those before had the expected times; the others follow from the same model."""
_LEAST_CHANCE = 0.01
"""That anything runs."""


@dataclass(frozen=True, slots=True)
class GuideOptions:
    """How the models follow the measurements.

    They are fitted anew after `refit_least` more measurements, or `refit_growth` of all of them, whichever is more; to
    at most `rows` of them, of which `kernel_rows` decide on the kernel in `kernel_steps` steps. Times above the `cap`
    quantile all count alike.
    """

    cap: float = 0.5
    refit_least: int = 3
    refit_growth: float = 0.1
    rows: int = 500
    kernel_rows: int = 200
    kernel_steps: int = 10


class Guide:
    """Chooses unseen members of a set by their promise."""

    def __init__(
        self, history: History, unseen: Unseen, features: FeatureMap, pools: CandidatePools, options: GuideOptions
    ) -> None:
        self._history = history
        self._unseen = unseen
        self._features = features
        self._pools = pools
        self._options = options
        self._x: Array = np.empty((0, len(features.names)))
        self._time = Belief(len(features.names), options.kernel_steps)
        self._running = Belief(len(features.names), options.kernel_steps)
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
        before = self._time.knowledge, self._running.knowledge
        chosen: list[int] = []
        taken: set[Assignment] = set()
        for _ in range(n):
            index = self._most_promising(pool, taken)
            if index is None:
                break
            chosen.append(index)
            taken.add(pool.members[index])
            if len(chosen) < n:
                self._observe(pool.x[index].astype(np.float64), None)
        self._time.restore(before[0])
        self._running.restore(before[1])
        return pool.members.take(np.array(chosen, dtype=np.intp))

    def _most_promising(self, pool: Pool, besides: Set[Assignment]) -> int | None:
        promise = self._promise(pool)
        promise[self._known] = -1
        while True:
            index = int(promise.argmax())
            if promise[index] < 0:
                return None
            promise[index] = -1
            if pool.members[index] not in self._unseen:
                self._known[index] = True
            elif pool.members[index] not in besides:
                return index

    def _promise(self, pool: Pool) -> Single:
        promise = np.ones(len(pool.x), dtype=np.float32)
        if (time := self._time.posterior) is not None:
            promise = expected_improvement(time.mean, time.std, self._best)
        if (running := self._running.posterior) is not None:
            promise = promise * np.clip(self._rate + self._rate_spread * running.mean, _LEAST_CHANCE, 1)
        return promise

    @property
    def _rate_spread(self) -> float:
        return math.sqrt(self._rate * (1 - self._rate))

    def _following(self, rng: np.random.Generator) -> Pool:
        """The pool, and the beliefs about it, with everything told taken into account."""
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
            self._running.observe(row, None)
            return
        runs = math.isfinite(secs)
        if runs:
            value = float(self._target.of(np.array([secs]))[0])
            self._time.observe(row, value)
            self._best = min(self._best, value)
        if self._running.posterior is not None:
            self._running.observe(row, (runs - self._rate) / self._rate_spread)

    def _fitted(self, rng: np.random.Generator) -> Pool:
        secs = self._history.secs()
        self._followed = len(secs)
        more = max(self._options.refit_least, int(self._options.refit_growth * len(secs)))
        self._refit_at = len(secs) + more
        self._pool = self._pools.around(rng, self._history)
        self._known = np.zeros(len(self._pool.x), dtype=bool)
        runs = np.isfinite(secs)
        self._fit_time(secs, np.flatnonzero(runs), rng, more + _BATCH)
        self._fit_running(runs, rng, more + _BATCH)
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

    def _fit_running(self, runs: npt.NDArray[np.bool_], rng: np.random.Generator, room: int) -> None:
        assert self._pool is not None
        self._rate = float(runs.mean())
        if not 0 < self._rate < 1:
            self._running.forget()
            return
        rows = _some(len(runs), self._options.rows, rng)
        y = (runs[rows].astype(np.float64) - self._rate) / self._rate_spread
        self._running.fit(self.x[rows], y, _some(len(rows), self._options.kernel_rows, rng), self._pool.x, room)


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
