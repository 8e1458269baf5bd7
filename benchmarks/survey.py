"""Measuring every member of a space, several times, in passes that each go through all of it in another order.

What drifts on a machine (clock rate, other guests of the host) then meets every member at several moments that have
nothing to do with its parameters, instead of whole regions of the space at one moment each. Every visit builds the
candidate anew, checks its output and times it; a record of it is committed before the next one, so that a survey that
is stopped goes on where it was.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.restriction import varying
from flextune.csp.assignment import Assignment
from flextune.csp.parameters import Parameters
from flextune.csp.solutions import SolutionSet
from flextune.database.database import Database
from flextune.measure.measure_options import MeasureOptions
from flextune.measure.runner import Runner
from flextune.schedule.space import SearchSpace
from flextune.trial.measurement import Candidate, Measurement, Status
from flextune.trial.record import Provenance, TuningRecord
from flextune.trial.tabular import TabularSpace, TabularTrial

Visits = Mapping[Assignment, Sequence[Measurement]]


@dataclass(frozen=True, slots=True)
class SurveyPlan:
    """`passes` through the `members` of a part of `space`, `repeats` timed repeats at each visit."""

    space: SearchSpace
    members: SolutionSet
    passes: int = 3
    repeats: int = 2
    seed: int = 0

    @property
    def options(self) -> MeasureOptions:
        """Every member gets all of its repeats, however slow it is."""
        return MeasureOptions(repeats=self.repeats, slow_factor=1e9, noise=0.0)

    def order(self, number: int) -> list[Assignment]:
        """The members in the order of this pass."""
        order = np.random.default_rng([self.seed, number]).permutation(self.members.count)
        return list(self.members.unrank_many(order))

    def candidate(self, assignment: Assignment) -> Candidate:
        return Candidate(self.space.workload, self.space.target, self.space.trace, assignment)


def survey(
    plan: SurveyPlan,
    runner: Runner,
    database: Database,
    provenance: Provenance,
    progress: Callable[[int, int], None],
    limit: int | None = None,
) -> Visits:
    """All visits, those of an earlier run included. `limit` members only, those that come first in the first pass.

    `progress` is told the visits made and planned.
    """
    chosen = set(plan.order(0)[:limit])
    visits = recorded_visits(plan, database)
    planned = plan.passes * len(chosen)
    for number in range(plan.passes):
        missing = [each for each in plan.order(number) if each in chosen and len(visits[each]) <= number]
        candidates = [plan.candidate(assignment) for assignment in missing]
        for candidate, measurement in zip(candidates, runner.measure(candidates), strict=True):
            database.commit(TuningRecord.of(candidate, measurement, provenance))
            visits[measurement.assignment].append(measurement)
            progress(sum(min(plan.passes, len(visits[each])) for each in chosen), planned)
    return {assignment: visits[assignment] for assignment in plan.order(0)[:limit]}


def recorded_visits(plan: SurveyPlan, database: Database) -> defaultdict[Assignment, list[Measurement]]:
    """What earlier runs have committed of this very space."""
    trace = plan.space.trace.to_json()
    visits: defaultdict[Assignment, list[Measurement]] = defaultdict(list)
    for record in database.records(plan.space.workload.key, plan.space.target.key):
        if record.trace == trace:
            visits[record.measurement.assignment].append(record.measurement)
    return visits


def tabulated(name: str, device: str, members: SolutionSet, visits: Visits) -> TabularSpace:
    """The visited members as a measured space over the variables that vary, in the order of the members."""
    names = varying(members)
    parameters = Parameters.of({each: tuple(members.marginal(each)) for each in names})
    ordered = sorted(visits, key=members.rank)
    trials = tuple(
        tabular_trial(parameters.encode({each: assignment[each] for each in names}), visits[assignment])
        for assignment in ordered
    )
    return TabularSpace(name, parameters, trials, device)


def tabular_trial(assignment: Assignment, visits: Sequence[Measurement]) -> TabularTrial:
    """One member: all repeats of the visits that went well, unless most did not.

    What building and timing took is the median over visits: what one trial of it costs.
    """
    good = [visit for visit in visits if visit.ok]
    bad = [visit for visit in visits if not visit.ok]
    build_secs = float(np.median([visit.build_secs for visit in visits]))
    benchmark_secs = float(np.median([max(0.0, visit.elapsed_secs - visit.build_secs) for visit in visits]))
    if len(bad) >= len(good):
        return TabularTrial(assignment, bad[-1].status, (), bad[-1].error, build_secs, benchmark_secs)
    run_secs = tuple(secs for visit in good for secs in visit.run_secs)
    return TabularTrial(assignment, Status.OK, run_secs, "", build_secs, benchmark_secs)
