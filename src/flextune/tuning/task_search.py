"""A task (a workload to tune) and the state of its search."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import compress, repeat

import numpy as np

from flextune.cost.cost_model import CostModel
from flextune.cost.cost_model_registry import NONE, create_cost_model
from flextune.csp.assignment import Assignment
from flextune.schedule.space import SearchSpace
from flextune.search.strategy import SearchStrategy
from flextune.search.strategy_registry import create_strategy, strategy_options
from flextune.target.peaks import Peaks
from flextune.trial.evidence import deciding_records
from flextune.trial.measurement import Candidate, Measurement
from flextune.trial.record import Evidence, TuningRecord
from flextune.tuning.description import describe_task
from flextune.tuning.tune_options import TuneOptions
from flextune.workload.workload import Workload

_ASKED_TOGETHER = 8


@dataclass(frozen=True, slots=True)
class TuningTask:
    """A workload, how often a model runs it, and what to call it (its text where nothing else is given)."""

    workload: Workload
    count: int = 1
    label: str = ""

    @property
    def name(self) -> str:
        return self.label or str(self.workload)


class TaskSearch:
    """The search of one task: what is known about its space, and which candidates come next.

    The default is the first proposal unless it is known already. Nothing known is ever proposed. `finals` holds
    the comparison of finalists as long as nothing was measured since.
    """

    def __init__(self, task: TuningTask, space: SearchSpace, options: TuneOptions) -> None:
        self.task = task
        self.space = space
        self.known: dict[Assignment, Measurement] = {}
        self.recorded = 0
        self.finals: dict[Assignment, Measurement] = {}
        self._revised_secs: dict[Assignment, float] = {}
        self.exhausted = False
        self.round_best_secs: list[float] = []
        self.trials_without_gain = 0
        self.round_secs: list[float] = []
        self._round_trials = options.round_trials
        self._strategy = _strategy(space, options) if space.tunable else OnlyDefault(space.default)

    def recall(self, records: Iterable[TuningRecord]) -> None:
        """Takes recorded trials of this very space for known; of several of one candidate the last one counts."""
        trace = self.space.trace.to_json()
        same = [record for record in records if record.trace == trace]
        latest = {measurement.assignment: measurement for measurement in (record.measurement for record in same)}
        inside = list(compress(latest.values(), self._hold(list(latest))))
        self.recorded = len(inside)
        if inside:
            self._tell_recorded(inside)
        if same and same[-1].evidence is not Evidence.TRIAL:
            for record in deciding_records(same):
                self.revise(record.measurement)

    def _hold(self, assignments: Sequence[Assignment]) -> list[bool]:
        """Which of them are the default, or in the space."""
        members = self.space.solutions.holds_each(assignments) if self.space.tunable else repeat(False)
        return [member or each == self.space.default for each, member in zip(assignments, members, strict=False)]

    def _tell_recorded(self, measurements: Sequence[Measurement]) -> None:
        """As if told round by round."""
        self.known.update((measurement.assignment, measurement) for measurement in measurements)
        self._strategy.tell(measurements)
        best_secs = math.inf
        for start in range(0, len(measurements), self._round_trials):
            times = [measurement.secs for measurement in measurements[start : start + self._round_trials]]
            self.trials_without_gain = 0 if min(times) < best_secs else self.trials_without_gain + len(times)
            best_secs = min(best_secs, *times)
            self.round_best_secs.append(best_secs)

    def propose(self, count: int, hints: Sequence[Assignment] = ()) -> list[Candidate]:
        """At most `count` candidates that are not known yet; none when the space is exhausted.

        `hints` come first, members of the space from elsewhere; the strategy is told of them like of its own.
        """
        first = [assignment for assignment in hints if assignment not in self.known][:count]
        asked = self._strategy.ask(count - len(first)) if count > len(first) else ()
        self.exhausted = not asked and not first
        return [self.candidate(assignment) for assignment in dict.fromkeys((*first, *asked))]

    def tell(self, measurements: Sequence[Measurement]) -> None:
        """The outcome of a round, for the strategy (which tells its cost model) and the statistics."""
        before = self.best_secs
        self.finals.clear()
        self._revised_secs.clear()
        self.known.update((measurement.assignment, measurement) for measurement in measurements)
        self._strategy.tell(measurements)
        self.round_best_secs.append(self.best_secs)
        self.trials_without_gain = 0 if self.best_secs < before else self.trials_without_gain + len(measurements)

    def candidate(self, assignment: Assignment) -> Candidate:
        return Candidate(self.task.workload, self.space.target, self.space.trace, assignment)

    def revise(self, measurement: Measurement) -> None:
        """A finalist's times: better evidence about a known candidate than its trial was."""
        before = self.known.get(measurement.assignment, measurement)
        self._revised_secs.setdefault(measurement.assignment, before.secs)
        self.known[measurement.assignment] = self.finals[measurement.assignment] = measurement

    def ranking(self) -> list[Measurement]:
        """The ok trials, fastest first: those that were not compared by what a comparison would probably say."""
        drift = self._drift()
        ok = [measurement for measurement in self.known.values() if measurement.ok]
        return sorted(ok, key=lambda each: each.secs * (1.0 if each.assignment in self.finals else drift))

    def _drift(self) -> float:
        """Seconds in a comparison per second of a trial: in turns with others, without a single trial's luck."""
        pairs = [(final, self._revised_secs[assignment]) for assignment, final in self.finals.items() if final.ok]
        return statistics.median_low(final.secs / secs for final, secs in pairs) if pairs else 1.0

    @property
    def best(self) -> Measurement | None:
        """The fastest finalist, or trial while nothing was compared; the default where it is as fast."""
        known = self.finals or self.known
        default = known.get(self.space.default)
        fastest = min(known.values(), key=lambda measurement: measurement.secs, default=None)
        if fastest is None or not fastest.ok:
            return None
        return default if default is not None and default.secs <= fastest.secs else fastest

    @property
    def best_secs(self) -> float:
        return self.best.secs if self.best else math.inf

    @property
    def default_secs(self) -> float:
        default = self.known.get(self.space.default)
        return default.secs if default else math.inf

    @property
    def secs_per_round(self) -> float:
        """Mean seconds of a round of this run; 0 before the first."""
        return statistics.fmean(self.round_secs) if self.round_secs else 0.0

    @property
    def trials(self) -> int:
        """Distinct candidates known, recorded ones included."""
        return len(self.known)

    @property
    def failed(self) -> int:
        return sum(not measurement.ok for measurement in self.known.values())


class OnlyDefault(SearchStrategy):
    """The strategy for a program that no rule knows: its default is all there is."""

    def __init__(self, default: Assignment) -> None:
        self._left = [default]

    def ask(self, n: int) -> Sequence[Assignment]:
        asked, self._left = self._left[:n], self._left[n:]
        return asked

    def tell(self, measurements: Sequence[Measurement]) -> None:
        told = {measurement.assignment for measurement in measurements}
        self._left = [assignment for assignment in self._left if assignment not in told]


def _strategy(space: SearchSpace, options: TuneOptions) -> SearchStrategy:
    return create_strategy(
        options.strategy,
        space.solutions,
        rng=np.random.default_rng(options.seed),
        default=space.default,
        cost_model=_cost_model(space, options),
        options=_together(options.strategy) | dict(options.strategy_options),
        trials=options.budget.trials,
    )


def _together(strategy: str) -> dict[str, str]:
    """Candidates are built in parallel, so a strategy that would go one by one is told to propose several at once."""
    one_by_one = any(option.name == "round_size" and option.default == "1" for option in strategy_options(strategy))
    return {"round_size": str(_ASKED_TOGETHER)} if one_by_one else {}


def _cost_model(space: SearchSpace, options: TuneOptions) -> CostModel | None:
    return create_cost_model(
        options.cost_model,
        space.solutions.names,
        options.seed,
        options=dict(options.cost_model_options),
        task=describe_task(space) if options.cost_model != NONE else None,
        pretrained=options.pretrained,
    )


def peak_flops(peaks: Peaks | None, workload: Workload) -> float:
    """Operations per second that the machine reaches in the workload's dtype; 0 where that is not known."""
    return peaks.for_dtype(workload.dtype) if peaks is not None and peaks.knows(workload.dtype) else 0.0


def mean_secs(measurements: Iterable[Measurement]) -> float:
    """Mean run time of the ok ones in seconds; infinity without one."""
    times = [measurement.secs for measurement in measurements if measurement.ok]
    return statistics.fmean(times) if times else math.inf
