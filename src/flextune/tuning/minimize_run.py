"""A run of `minimize`: propose, try, record, learn; and what it ends with."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from flextune.csp.assignment import Assignment
from flextune.csp.parameter_space import ParameterSpace
from flextune.database.database import Database
from flextune.errors import UsageError
from flextune.garbage import collection_put_off
from flextune.measure.objective import Objective
from flextune.measure.objective_protocol import ObjectiveProtocol
from flextune.measure.trial_steps import TrialCrew, run_steps
from flextune.trial.measurement import Measurement
from flextune.trial.record import Evidence
from flextune.tuning.budget import Budget
from flextune.tuning.goals import Goals
from flextune.tuning.interruption import noticed_interruption
from flextune.tuning.minimize_options import MinimizeOptions
from flextune.tuning.minimize_result import MinimizeResult, MinimizeTrial
from flextune.tuning.objective_records import ObjectiveRecords
from flextune.tuning.proposals import Proposals

OnTrial = Callable[[MinimizeTrial], object]
"""Sees every trial when it ends; the run ends where it returns True."""

_FINAL_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class _Pending:
    """A trial that is being made, and how."""

    assignment: Assignment
    protocol: ObjectiveProtocol


class MinimizeRun:
    """The trials so far, and the loop."""

    def __init__(
        self,
        space: ParameterSpace,
        proposals: Proposals,
        objective: Objective,
        budget: Budget,
        started: float,
        database: Database | None,
        records: ObjectiveRecords,
        goals: Goals,
        options: MinimizeOptions,
        on_trial: OnTrial | None,
    ) -> None:
        self._space = space
        self._proposals = proposals
        self._objective = objective
        self._budget = budget
        self._started = started
        self._database = database
        self._records = records
        self._goals = goals
        self._options = options
        self._on_trial = on_trial
        self._trials: list[MinimizeTrial] = []
        self._best = math.inf
        self._best_at = 0
        self._finalists: tuple[MinimizeTrial, ...] = ()
        self._pending: dict[int, _Pending] = {}
        self._recorded = 0
        self._interrupted = False
        self._stopped = False

    def recall(self) -> None:
        """Takes recorded trials for known."""
        if self._database is None:
            return
        with collection_put_off():
            records = self._database.records(self._records.workload_key, self._records.target_key)
            known = self._records.recalled(records)
            for measurement in known:
                self._add(self._trial(measurement))
            self._recorded = len(known)
            self._proposals.tell(known)

    def spend(self) -> None:
        """The loop itself, then the finalists; Ctrl-C ends it."""
        with noticed_interruption() as interruption:
            try:
                workers = self._objective.workers(self._options.workers)
                if self._options.workers > 1 and not workers:
                    raise UsageError("several workers need isolated trials: give workers=1, or isolated=True on Linux")
                if len(workers) > 1:
                    self._spend_on(TrialCrew(workers), interruption.check)
                else:
                    self._spend_alone(interruption.check)
                self._compare_finalists(interruption.check)
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
            goals=self._goals,
            finalists=self._finalists,
        )

    def _spend_alone(self, check: Callable[[], None]) -> None:
        while self._goes_on() and (assignment := self._proposals.next()) is not None:
            protocol = self._protocol()
            self._take(self._measured(assignment), protocol)
            check()

    def _spend_on(self, crew: TrialCrew, check: Callable[[], None]) -> None:
        """With as many trials at a time as there are workers."""
        while True:
            while crew.idle and self._goes_on() and (assignment := self._proposals.next()) is not None:
                values = self._space.values(assignment)
                number = crew.start(self._objective.steps(assignment, values, self._secs_left))
                self._pending[number] = _Pending(assignment, self._protocol())
            if not crew.busy:
                return
            for number, measurement in crew.wait():
                self._take(measurement, self._pending.pop(number).protocol)
            check()

    def _measured(self, assignment: Assignment) -> Measurement:
        steps = self._objective.steps(assignment, self._space.values(assignment), self._secs_left)
        return run_steps(steps, next(iter(self._objective.workers(1)), None))

    @property
    def _secs_left(self) -> float:
        return self._budget.secs_left(time.perf_counter() - self._started)

    def _protocol(self) -> ObjectiveProtocol:
        """How the next trial is made: what is left of the budget may end it sooner."""
        return self._objective.protocol.within(self._secs_left)

    def _goes_on(self) -> bool:
        left = self._budget.trials_left(len(self._trials) + len(self._pending))
        return (
            left > 0
            and self._secs_left > 0
            and not self._stopped
            and not self._is_good_enough()
            and not self._budget.out_of_patience(self._without_gain())
        )

    def _is_good_enough(self) -> bool:
        wanted = self._options.stop_value
        return wanted is not None and bool(self._trials) and self._best <= self._goals.signs[0] * wanted

    def _without_gain(self) -> int:
        """Trials since the last one that was better, or that came on the front."""
        if self._budget.patience_trials is None or not self._trials:
            return 0
        if self._goals.several:
            result = self.result("", "").front
            return len(self._trials) - 1 - max((self._trials.index(trial) for trial in result), default=-1)
        return len(self._trials) - 1 - self._best_at

    def _take(self, measurement: Measurement, protocol: ObjectiveProtocol) -> None:
        self._record(measurement, protocol)
        trial = self._trial(measurement)
        self._add(trial)
        self._proposals.tell([measurement])
        if self._on_trial is not None and self._on_trial(trial) is True:
            self._stopped = True

    def _add(self, trial: MinimizeTrial) -> None:
        if (value := trial.measurement.secs) < self._best:
            self._best, self._best_at = value, len(self._trials)
        self._trials.append(trial)

    def _record(
        self, measurement: Measurement, protocol: ObjectiveProtocol, evidence: Evidence = Evidence.TRIAL
    ) -> None:
        if self._database is not None:
            self._database.commit(self._records.record(measurement, protocol, evidence))

    def _compare_finalists(self, check: Callable[[], None]) -> None:
        """Measures the best ones again, in turns; what comes of that is what counts."""
        ranked = sorted((trial for trial in self._trials if trial.ok), key=lambda trial: trial.measurement.secs)
        finalists = [trial.measurement for trial in ranked[: self._options.finalists]]
        if len(finalists) < 2:
            return
        again: dict[Assignment, list[Measurement]] = {each.assignment: [] for each in finalists}
        for _ in range(_FINAL_ROUNDS):
            for each in finalists:
                if self._secs_left <= 0:
                    return
                again[each.assignment].append(self._measured(each.assignment))
                check()
        together = [_together(measurements) for measurements in again.values()]
        for measurement in together:
            self._record(measurement, self._protocol(), Evidence.FINALIST)
        self._finalists = tuple(map(self._trial, together))

    def _trial(self, measurement: Measurement) -> MinimizeTrial:
        return MinimizeTrial(self._space.values(measurement.assignment), measurement, self._goals)


def _together(measurements: list[Measurement]) -> Measurement:
    """Of one configuration: all numbers of all rounds, or the first failure."""
    failed = next((each for each in measurements if not each.ok), None)
    if failed is not None:
        return failed
    return replace(
        measurements[0],
        run_secs=tuple(number for each in measurements for number in each.run_secs),
        elapsed_secs=math.fsum(each.elapsed_secs for each in measurements),
        build_secs=math.fsum(each.build_secs for each in measurements),
    )
