"""One tuning run: its clock, its runner, its watchers, and the three things that happen to a task in it."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager

from flextune.csp.assignment import Assignment
from flextune.database.database import Database
from flextune.garbage import collection_put_off
from flextune.measure.runner import Runner
from flextune.platforms.base import Platform
from flextune.quantities import CostOrigin
from flextune.target.target import Target
from flextune.trial.measurement import Candidate, Measurement
from flextune.trial.record import Provenance
from flextune.tuning.callbacks import RecordWriter
from flextune.tuning.events import (
    Callback,
    Event,
    FinalistMeasured,
    Phase,
    PhaseBegan,
    RoundFinished,
    TaskOpened,
    TrialMeasured,
)
from flextune.tuning.interruption import Interruption, noticed_interruption
from flextune.tuning.task_search import TaskSearch, TuningTask, mean_secs
from flextune.tuning.tune_options import TuneOptions
from flextune.workload.work import Work
from flextune.workload.workload import Workload

_FINALS_AT_MOST = 3

_FIRST_SECS = 5.0
"""For the first candidate of a run, whatever its budget: without any there is no result."""


class TuningRun:
    """Opens tasks, plays rounds and compares finalists; everything measured goes to the callbacks, records first."""

    def __init__(
        self,
        runner: Runner,
        platform: Platform,
        target: Target,
        database: Database,
        options: TuneOptions,
        provenance: Provenance,
        callbacks: Sequence[Callback] = (),
        started: float | None = None,
    ) -> None:
        self.options = options
        self.scale = provenance.scale
        self.interrupted = False
        self._runner = runner
        self._platform = platform
        self._target = target
        self._database = database
        self._callbacks: tuple[Callback, ...] = (RecordWriter(database, provenance), *callbacks)
        self._started = time.perf_counter() if started is None else started
        self._trial_ends: list[float] = []
        self._interruption = Interruption()

    def bound_secs(self, workload: Workload) -> float:
        """The least time that a workload's operations can take at the machine's peaks; 0 where these are not known."""
        peaks = self.options.peaks
        return 0.0 if peaks is None else self._platform.estimate(Work.of(workload), self._target, peaks).compute

    @property
    def elapsed_secs(self) -> float:
        return time.perf_counter() - self._started

    @property
    def secs_left(self) -> float:
        """Seconds left for measuring; infinity without a limit."""
        return self.options.budget.secs_left(self.elapsed_secs)

    @property
    def trials_per_sec(self) -> float:
        """Between the end of the first trial and the end of the last one; 0 with fewer than two."""
        if len(self._trial_ends) < 2 or self._trial_ends[-1] <= self._trial_ends[0]:
            return 0.0
        return (len(self._trial_ends) - 1) / (self._trial_ends[-1] - self._trial_ends[0])

    def open(self, task: TuningTask) -> TaskSearch:
        """The task's space and strategy, told what the records hold."""
        space = self._platform.search_space(task.workload, self._target)
        search = TaskSearch(task, space, self.options)
        if self.options.resume:
            with collection_put_off():
                records = self._database.records(task.workload.key, self._target.key)
                search.recall(record for record in records if record.scale == self.scale)
        known = (search.recorded, search.best_secs, search.default_secs)
        self._notify(TaskOpened(task.name, space.solutions.count, *known))
        return search

    def begin(self, phase: Phase) -> None:
        """Tells the watchers what comes."""
        self._notify(PhaseBegan(phase))

    def play_round(
        self, search: TaskSearch, reserve_secs: float = 0.0, trials: int = 2**31, hints: Sequence[Assignment] = ()
    ) -> None:
        """Asks for candidates, measures them, and tells the strategy. Stops early when only `reserve_secs` are left."""
        candidates = search.propose(min(self.options.round_trials, trials), hints)
        self._measure([(search, candidate) for candidate in candidates], reserve_secs)

    def first_trials(self, searches: Sequence[TaskSearch], reserve_secs: float = 0.0) -> None:
        """The first proposal of each task, which is its default, in one round: so they are built in parallel."""
        self._measure([(search, candidate) for search in searches for candidate in search.propose(1)], reserve_secs)

    def _measure(self, trials: Sequence[tuple[TaskSearch, Candidate]], reserve_secs: float) -> None:
        """Measures candidates of one or several tasks. A round that is interrupted keeps what it has."""
        measured: dict[TaskSearch, list[Measurement]] = {search: [] for search, _ in trials}
        began = time.perf_counter()
        best_secs = next(iter(measured)).best_secs if len(measured) == 1 else math.inf
        candidates = [candidate for _, candidate in trials]
        try:
            left = self._secs_for(reserve_secs)
            with closing(_generator(self._runner.measure(candidates, best_secs, left))) as measurements:
                for (search, candidate), measurement in zip(trials, measurements, strict=False):
                    measured[search].append(measurement)
                    self._trial_ends.append(time.perf_counter())
                    self._notify(_trial_event(search, candidate, measured[search]))
                    self._interruption.check()
                    if self.secs_left <= reserve_secs:
                        break
        finally:
            for search, results in measured.items():
                if results:
                    search.tell(results)
                    search.round_secs.append((time.perf_counter() - began) * len(results) / len(trials))
                    self._notify(_round_event(search, results))

    def _secs_for(self, reserve_secs: float) -> float:
        """What candidates in flight may still take: into the reserve by half, and the run's first one in any case."""
        left = self.secs_left - reserve_secs / 2
        return left if self._trial_ends else max(left, _FIRST_SECS)

    def compare_finalists(self, search: TaskSearch) -> None:
        """Times the best candidates and the default in turns, until the best of all that is known is one of them.

        Nothing is timed when an earlier run has compared all that is known. The winner is never slower than the
        default, and never one that was merely lucky in its only trial. What is not measured comes out the same every
        time: then trials are comparisons.
        """
        if search.finals or self.scale.origin is not CostOrigin.MEASURED:
            return
        compared: set[Assignment] = set()
        for _ in range(_FINALS_AT_MOST):
            finalists = self._finalists(search)
            if len(finalists) < 2 or finalists[0].assignment in compared:
                break
            for candidate, measurement in zip(
                finalists, self._runner.compare(finalists, self.options.final_rounds, self.secs_left), strict=True
            ):
                compared.add(candidate.assignment)
                search.revise(measurement)
                self._notify(FinalistMeasured(search.task.name, candidate, measurement))

    @contextmanager
    def until_interrupted(self) -> Iterator[None]:
        """Ends the block at Ctrl-C; the records and the result so far stay."""
        with noticed_interruption() as self._interruption:
            try:
                yield
            except KeyboardInterrupt:
                self.interrupted = True
        self.interrupted |= self._interruption.came

    def _finalists(self, search: TaskSearch) -> list[Candidate]:
        best = [measurement.assignment for measurement in search.ranking()[: self.options.finalists]]
        default = search.space.default
        if best and default not in best and search.known.get(default) is not None and search.known[default].ok:
            best.append(default)
        return [search.candidate(assignment) for assignment in best]

    def _notify(self, event: Event) -> None:
        for callback in self._callbacks:
            callback(event)


def _trial_event(search: TaskSearch, candidate: Candidate, measured: Sequence[Measurement]) -> TrialMeasured:
    return TrialMeasured(
        task=search.task.name,
        candidate=candidate,
        measurement=measured[-1],
        trials=search.trials + len(measured),
        best_secs=min(search.best_secs, *(measurement.secs for measurement in measured)),
    )


def _round_event(search: TaskSearch, measured: Sequence[Measurement]) -> RoundFinished:
    return RoundFinished(
        task=search.task.name,
        number=len(search.round_best_secs),
        trials=search.trials,
        failed=search.failed,
        best_secs=search.best_secs,
        mean_secs=mean_secs(measured),
        elapsed_secs=search.round_secs[-1],
    )


def _generator(measurements: Iterator[Measurement]) -> Generator[Measurement, None, None]:
    """The same as something that can be closed: leaving it early then ends what the runner still has in flight."""
    yield from measurements
