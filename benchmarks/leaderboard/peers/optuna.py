"""Optuna's TPE sampler over a space with constraints between parameters.

Optuna has no hard constraints: with its soft ones (`constraints_func`) nearly all of a run goes into configurations
that cannot be built, at milliseconds each, and it asks again and again for what it knows. So that this does not count
against it:

* Its first trials, random by its defaults, are uniform over the feasible configurations.
* What it suggests after that is moved to the nearest feasible configuration that it has not measured, and it is told
  the time of that one, under that one's values. Distance is the sum over parameters of the difference of positions,
  each as a fraction of the parameter's list.
* Numbers are integers of their position, so that it knows their order; words are categories.
* It models each parameter by itself, as was its default before version 5: that finds more here than all together.
* A failed configuration counts as ten times as slow as the slowest so far: it ignores trials that failed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.leaderboard.ledger import Ledger
from benchmarks.leaderboard.space import RecordedSpace

_STARTUP_TRIALS = 10
_FAILURE_FACTOR = 10.0


def play(space: RecordedSpace, ledger: Ledger, seed: int) -> None:
    """Until the ledger is spent or the space used up."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=_STARTUP_TRIALS, multivariate=False)
    study = optuna.create_study(sampler=sampler)
    distributions = _distributions(optuna, space)
    chooser = _Chooser(space, seed)
    slowest = 0.0
    for number in range(len(space)):
        if number < _STARTUP_TRIALS:
            row = chooser.random()
        else:
            trial = study.ask(distributions)
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            row = chooser.nearest([trial.params[name] for name in space.values])
        secs = ledger.measure(row)
        slowest = max(slowest, secs or 0.0)
        value = _FAILURE_FACTOR * (slowest or 1.0) if secs is None else secs
        params = dict(zip(space.values, space.rows[row], strict=True))
        study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=value))


def _distributions(optuna: Any, space: RecordedSpace) -> dict[str, Any]:
    kinds = optuna.distributions
    return {
        parameter.name: kinds.IntDistribution(0, len(parameter.values) - 1)
        if parameter.kind == "number"
        else kinds.CategoricalDistribution(tuple(range(len(parameter.values))))
        for parameter in space.tabular.parameters.parameters
    }


class _Chooser:
    """Picks rows that have not been measured."""

    def __init__(self, space: RecordedSpace, seed: int) -> None:
        lengths = np.array([len(values) for values in space.values.values()])
        self._scale = np.maximum(1, lengths - 1)
        self._points = np.array(space.rows) / self._scale
        self._rng = np.random.default_rng([seed, 3])
        self._left = np.ones(len(space), dtype=bool)

    def random(self) -> int:
        return self._take(np.flatnonzero(self._left))

    def nearest(self, positions: list[int]) -> int:
        distance = np.abs(self._points - np.array(positions) / self._scale).sum(axis=1)
        distance[~self._left] = np.inf
        return self._take(np.flatnonzero(distance <= distance.min() + 1e-9))

    def _take(self, rows: np.ndarray) -> int:
        row = int(self._rng.choice(rows))
        self._left[row] = False
        return row
