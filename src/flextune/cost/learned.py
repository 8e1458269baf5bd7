"""What all learned cost models have in common: what they know, when they learn, failures, and a pretrained start."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar, cast

import numpy as np

from flextune.cost.boosting import Trees
from flextune.cost.cost_model import CostModel, Scores
from flextune.cost.cost_model_options import CostModelOptions
from flextune.cost.failures import chances, fit_chance
from flextune.cost.features import Features, FeatureTable, Numbers
from flextune.cost.learner import Fitted, Learner
from flextune.cost.task_description import TaskDescription
from flextune.csp.assignment import Assignments
from flextune.trial.history import History

if TYPE_CHECKING:
    from flextune.cost.pretrained import PretrainedModel, Prior
    from flextune.trial.measurement import Measurement

Chosen = TypeVar("Chosen", bound=CostModelOptions)


class LearnedCostModel(CostModel, Generic[Chosen]):
    """Keeps the contract of `CostModel` for a subclass that says what the features are and how they are learned from.

    It is trained anew when there are new measurements: on the throughput of what ran, relative to the best, and apart
    from that on what failed; a score is the expected throughput times the chance to run. With a pretrained model, its
    score is one more feature, and as much of it as the measurements confirm is where the learner starts from.
    """

    def __init__(
        self,
        names: Sequence[str],
        seed: int,
        *,
        options: Chosen | None = None,
        task: TaskDescription | None = None,
        pretrained: PretrainedModel | None = None,
    ) -> None:
        self.names = tuple(names)
        self.options: Chosen = options if options is not None else cast(Chosen, self.options_type())
        self.task = task or TaskDescription()
        self._seed = seed
        self._prior = pretrained.of_task(self.names, self.task) if pretrained is not None else None
        self._table = self.features()
        self._learner = self.learner()
        self._history = History(self.names)
        self._trained: _Trained | None = None
        self._is_current = self._prior is None

    @abstractmethod
    def features(self) -> FeatureTable:
        """What is learned from, for `self.names` and `self.task`."""

    @abstractmethod
    def learner(self) -> Learner:
        """How, with `self.options`."""

    def predict(self, assignments: Assignments) -> Scores:
        trained = self._current() if len(assignments) else None
        return trained.scores(assignments) if trained is not None else np.zeros(len(assignments))

    def update(self, measurements: Sequence[Measurement]) -> None:
        self._history.add(measurements)
        self._is_current = self._is_current and not measurements

    def importance(self) -> Mapping[str, float]:
        trained = self._current()
        return trained.importance() if trained is not None else {}

    def _current(self) -> _Trained | None:
        if not self._is_current:
            self._trained = self._train()
            self._is_current = True
        return self._trained

    def _train(self) -> _Trained | None:
        if not self.names:
            return None
        told, secs = self._history.assignments(), self._history.secs()
        if len(secs) < 2 and self._prior is None:
            return None  # what a single row teaches is the same value for all
        ran = np.isfinite(secs)
        inputs = _Inputs(self._table, self._prior)
        if not ran.any():
            return _Trained(inputs, None, None, Expectation(0, 1)) if self._prior is not None else None
        rows, expected = inputs.rows(told)
        throughput = self._history.fitness()[ran]
        expectation = Expectation.of(expected[ran], throughput)
        fitted = self._learner.fit(rows[ran], throughput, expectation.base(expected[ran]), self._seed)
        return _Trained(inputs, fitted, fit_chance(rows, ran, self._seed), expectation)


@dataclass(frozen=True, slots=True)
class Expectation:
    """How far the scores of a pretrained model hold for this task: throughput is about offset + slope * score."""

    offset: float
    slope: float

    @classmethod
    def of(cls, expected: Numbers, throughput: Numbers) -> Expectation:
        """The line through both, drawn towards no slope where there are few measurements to tell.

        Without a pretrained model all scores are the same, and the line is flat.
        """
        deviation = expected - expected.mean()
        slope = float((deviation * throughput).sum() / (deviation @ deviation + _DOUBT))
        slope = max(0.0, slope)
        return cls(float(throughput.mean() - slope * expected.mean()), slope)

    def base(self, expected: Numbers) -> Numbers:
        return self.offset + self.slope * expected


_DOUBT = 0.05
"""Sum of squares of a pretrained score that is worth as much as no score at all."""


@dataclass(frozen=True, slots=True)
class _Inputs:
    """Features of assignments, and what a pretrained model expects of them."""

    table: FeatureTable
    prior: Prior | None

    def rows(self, assignments: Assignments) -> tuple[Features, Numbers]:
        rows = self.table.rows(assignments)
        if self.prior is None:
            return rows, np.zeros(len(assignments))
        expected = self.prior.scores(assignments)
        return np.column_stack([rows, expected.astype(np.float32)]), expected


@dataclass(frozen=True, slots=True)
class _Trained:
    """What was learned at one moment. Without `fitted` nothing has run yet: the pretrained model is all there is."""

    inputs: _Inputs
    fitted: Fitted | None
    chance: Trees | None
    expectation: Expectation

    def scores(self, assignments: Assignments) -> Scores:
        rows, expected = self.inputs.rows(assignments)
        if self.fitted is None:
            return expected
        throughput = self.fitted.predict(rows, self.expectation.base(expected))
        return np.maximum(throughput, 0) * chances(self.chance, rows) if self.chance is not None else throughput

    def importance(self) -> Mapping[str, float]:
        prior = self.inputs.prior
        if self.fitted is None:
            return prior.importance() if prior is not None else {}
        gains = self.fitted.importance()
        own = self.inputs.table.shares(gains[: len(self.inputs.table.features)])
        if prior is None:
            return own
        total = float(gains.sum())
        weight = float(gains[-1]) / total if total > 0 else 0.0
        return mixed(own, prior.importance(), weight)


def mixed(first: Mapping[str, float], second: Mapping[str, float], weight: float) -> dict[str, float]:
    """The shares of both, `weight` of them from the second; sums to 1 unless both are empty."""
    shares = {name: (1 - weight) * share for name, share in first.items()}
    for name, share in second.items():
        shares[name] = shares.get(name, 0.0) + weight * share
    total = sum(shares.values())
    return {name: share / total for name, share in shares.items()} if total > 0 else {}
