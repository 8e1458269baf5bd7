"""A run of `minimize`: propose, try, record, learn; and what it ends with."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from flextune.csp.assignment import Assignment
from flextune.csp.parameter_space import ParameterSpace
from flextune.csp.parameters import Value
from flextune.database.database import Database
from flextune.measure.objective import Objective
from flextune.search.strategy import SearchStrategy
from flextune.trial.measurement import Measurement, Status
from flextune.tuning.budget import Budget
from flextune.tuning.interruption import noticed_interruption
from flextune.tuning.objective_records import ObjectiveRecords
from flextune.tuning.positive import PositiveTold
from flextune.tuning.progress import failure_text


@dataclass(frozen=True, slots=True)
class MinimizeTrial:
    """One configuration and what came of it. `value` is the median of its repeats, infinity for a failure."""

    values: Mapping[str, Value]
    measurement: Measurement

    @property
    def value(self) -> float:
        return self.measurement.secs

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
        """The first trial with the smallest value; None where none ran."""
        best = min(self.history, key=lambda trial: trial.value if trial.ok else math.inf, default=None)
        return best if best is not None and best.ok else None

    @property
    def best(self) -> dict[str, Value] | None:
        """The best configuration; None where none ran."""
        return None if self.best_trial is None else dict(self.best_trial.values)

    @property
    def best_value(self) -> float:
        """The smallest value; infinity where none ran."""
        return math.inf if self.best_trial is None else self.best_trial.value

    @property
    def failures(self) -> tuple[tuple[str, int], ...]:
        """Causes of failures and how often each occurred, the most frequent first."""
        texts = (failure_text(trial.measurement) for trial in self.history if not trial.ok)
        return tuple(Counter(texts).most_common())


class MinimizeRun:
    """The trials so far, and the loop."""

    def __init__(
        self,
        space: ParameterSpace,
        strategy: SearchStrategy,
        objective: Objective,
        budget: Budget,
        started: float,
        database: Database | None,
        records: ObjectiveRecords,
        on_trial: Callable[[MinimizeTrial], None] | None,
    ) -> None:
        self._space = space
        self._told = PositiveTold(strategy)
        self._strategy = strategy
        self._objective = objective
        self._budget = budget
        self._started = started
        self._database = database
        self._records = records
        self._on_trial = on_trial
        self._trials: list[MinimizeTrial] = []
        self._recorded = 0
        self._interrupted = False

    def recall(self) -> None:
        """Takes recorded trials for known."""
        if self._database is None:
            return
        records = self._database.records(self._records.workload_key, self._records.target_key)
        known = self._records.recalled(records)
        self._trials.extend(self._trial(measurement) for measurement in known)
        self._recorded = len(known)
        if known:
            self._told.tell(known)

    def spend(self) -> None:
        """The loop itself; Ctrl-C ends it."""
        with noticed_interruption() as interruption:
            try:
                while self._goes_on() and (asked := self._strategy.ask(1)):
                    self._measure(asked[0])
                    interruption.check()
            except KeyboardInterrupt:
                self._interrupted = True

    def result(self, strategy: str, db: str) -> MinimizeResult:
        return MinimizeResult(
            name=self._objective.name,
            strategy=strategy,
            history=tuple(self._trials),
            space_size=self._space.solutions.count,
            elapsed_secs=time.perf_counter() - self._started,
            recorded=self._recorded,
            interrupted=self._interrupted,
            db=db,
        )

    def _goes_on(self) -> bool:
        left = self._budget.trials_left(len(self._trials))
        in_time = self._budget.secs_left(time.perf_counter() - self._started) > 0
        return left > 0 and in_time and not self._budget.out_of_patience(self._without_gain())

    def _without_gain(self) -> int:
        if self._budget.patience_trials is None or not self._trials:
            return 0
        values = [trial.value for trial in self._trials]
        return len(values) - 1 - values.index(min(values))

    def _measure(self, assignment: Assignment) -> None:
        measurement = self._objective.measure(assignment, self._space.values(assignment))
        if self._database is not None:
            self._database.commit(self._records.record(measurement))
        trial = self._trial(measurement)
        self._trials.append(trial)
        self._told.tell([measurement])
        if self._on_trial is not None:
            self._on_trial(trial)

    def _trial(self, measurement: Measurement) -> MinimizeTrial:
        return MinimizeTrial(self._space.values(measurement.assignment), measurement)
