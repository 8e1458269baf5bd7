"""Trials of `minimize`, and what a run ends with."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from flextune.csp.parameters import Value
from flextune.trial.cause import failure_text
from flextune.trial.measurement import Measurement, Status
from flextune.tuning.goals import SMALLEST, Goals, pareto_front


@dataclass(frozen=True, slots=True)
class MinimizeTrial:
    """One configuration and what came of it."""

    values: Mapping[str, Value]
    measurement: Measurement
    goals: Goals = SMALLEST

    @property
    def value(self) -> float:
        """The median of its repeats, of the first goal where there are several; the worst there is for a failure."""
        return self.goals.value(self.measurement)

    @property
    def metrics(self) -> dict[str, float]:
        """All that was measured, by name."""
        return dict(self.measurement.metrics)

    @property
    def ok(self) -> bool:
        return self.measurement.ok

    @property
    def status(self) -> Status:
        return self.measurement.status

    @property
    def error(self) -> str:
        return self.measurement.error


@dataclass(frozen=True, slots=True)
class MinimizeResult:
    """What a run ends with."""

    name: str
    """The objective's."""
    strategy: str
    """What proposed the trials."""
    history: tuple[MinimizeTrial, ...]
    """Every trial, recorded ones of earlier runs first."""
    space_size: int
    """Configurations that satisfy the constraints."""
    elapsed_secs: float
    """Wall time of this run."""
    recorded: int = 0
    """Trials of earlier runs in `history`."""
    interrupted: bool = False
    """Whether Ctrl-C ended the run."""
    db: str = ""
    """Where trials are recorded; empty for nowhere."""
    goals: Goals = SMALLEST
    """What was searched for."""
    finalists: tuple[MinimizeTrial, ...] = ()
    """The best ones, measured again in turns at the end."""

    @property
    def trials(self) -> int:
        return len(self.history)

    @property
    def exhausted(self) -> bool:
        """Whether every configuration of the space has been tried."""
        return self.trials >= self.space_size

    @property
    def failed(self) -> int:
        return sum(not trial.ok for trial in self.history)

    @property
    def best_trial(self) -> MinimizeTrial | None:
        """The first trial with the best value, among the finalists where there are any; None where none ran."""
        trials = [trial for trial in self.finalists if trial.ok] or self.history
        best = min(trials, key=lambda trial: trial.measurement.secs, default=None)
        return best if best is not None and best.ok else None

    @property
    def best(self) -> dict[str, Value] | None:
        """The best configuration; None where none ran."""
        return None if self.best_trial is None else dict(self.best_trial.values)

    @property
    def best_value(self) -> float:
        """The best value; infinity, negative where it is to be large, where none ran."""
        return self.goals.signs[0] * math.inf if self.best_trial is None else self.best_trial.value

    @property
    def front(self) -> tuple[MinimizeTrial, ...]:
        """The trials that no other one beats in every goal, in the order they were made."""
        return pareto_front(self.history, [self.goals.losses(trial.measurement) for trial in self.history])

    @property
    def failures(self) -> tuple[tuple[str, int], ...]:
        """Causes of failures and how often each occurred, the most frequent first; `#` for numbers that differ."""
        causes = Counter(failure_text(trial.measurement) for trial in self.history if not trial.ok)
        texts: dict[str, set[str]] = {}
        for trial in self.history:
            if not trial.ok:
                texts.setdefault(failure_text(trial.measurement), set()).add(f"{trial.status}: {trial.error}")
        return tuple(
            (min(texts[text]) if len(texts[text]) == 1 else text, count) for text, count in causes.most_common()
        )
