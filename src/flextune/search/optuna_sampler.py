"""Optuna's tree-structured Parzen estimator as a strategy (Bergstra, Bardenet, Bengio and Kégl, NeurIPS 2011).

Optuna knows nothing of constraints: it samples every variable's position among its values. What it samples is moved to
the nearest unmeasured solution, and Optuna is told that this is what was tried, with the logarithm of its time. A
failure is told as a pruned trial, which it ranks behind everything that ran.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from flextune.csp.assignment import Assignment, Assignments
from flextune.errors import UsageError
from flextune.search.encoding import Encoding
from flextune.search.extras import install_command
from flextune.search.repair import nearest_unseen
from flextune.search.rounds import RoundStrategy
from flextune.search.strategy_options import StrategyOptions, option

if TYPE_CHECKING:
    from flextune.trial.measurement import Measurement

_LEAST_SECS = 1e-12


@dataclass(frozen=True, slots=True)
class OptunaOptions(StrategyOptions):
    """`startup` measurements are random; then each is the best of `candidates` by expected improvement.

    `multivariate` says whether variables are sampled jointly.
    """

    round_size: int = option(1, low=1, high=1024)
    startup: int = option(10, low=1, high=10_000)
    candidates: int = option(24, low=1, high=10_000)
    multivariate: bool = option(True)


class OptunaStrategy(RoundStrategy[OptunaOptions]):
    """Optuna's TPE sampler, its samples moved to the nearest unmeasured solution."""

    options_type = OptunaOptions
    source = "Bergstra et al., NeurIPS 2011; optuna.samplers.TPESampler"
    extra = "optuna"

    def prepare(self) -> None:
        self._optuna = load_optuna()
        self._encoding = Encoding(self.solutions)
        self._distributions = {
            name: self._optuna.distributions.IntDistribution(0, int(size) - 1)
            for name, size in zip(self._encoding.names, self._encoding.sizes, strict=True)
        }
        self._study = self._optuna.create_study(sampler=self._sampler())
        self._told: set[Assignment] = set()

    def propose(self) -> Assignments:
        asked = [self._study.ask(self._distributions) for _ in range(self.options.round_size)]
        for trial in asked:  # what was tried is told later, in the place of this one
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
        positions = np.array([[trial.params[name] for name in self._encoding.names] for trial in asked], dtype=np.int64)
        wanted = self._encoding.scaled(positions.reshape(len(asked), self._encoding.genes))
        return nearest_unseen(self._encoding, self.unseen, self.rng, wanted)

    def tell(self, measurements: Sequence[Measurement]) -> None:
        super().tell(measurements)
        for assignment in dict.fromkeys(measurement.assignment for measurement in measurements):
            secs = self.history.secs_of(assignment)
            if secs is not None and assignment not in self._told:
                self._told.add(assignment)
                self._study.add_trial(self._trial(assignment, secs))

    def _trial(self, assignment: Assignment, secs: float) -> Any:
        (position,) = self._encoding.positions(Assignments.of([assignment], self.solutions.names)).tolist()
        states = self._optuna.trial.TrialState
        return self._optuna.trial.create_trial(
            state=states.COMPLETE if math.isfinite(secs) else states.PRUNED,
            value=math.log(max(secs, _LEAST_SECS)) if math.isfinite(secs) else None,
            params=dict(zip(self._encoding.names, position, strict=True)),
            distributions=self._distributions,
        )

    def _sampler(self) -> Any:
        return self._optuna.samplers.TPESampler(
            n_startup_trials=self.options.startup,
            n_ei_candidates=self.options.candidates,
            multivariate=self.options.multivariate,
            seed=int(self.rng.integers(2**32)),
        )


def load_optuna() -> Any:
    """The module. `UsageError` says how to install it where it is missing."""
    try:
        import optuna
    except ImportError as error:
        raise UsageError(f"the strategy 'optuna' needs Optuna ({error}); {install_command('optuna')}") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
