"""Tuning a whole model: kernels and groups by their own times first, then the finalists inside the model."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from flextune.apply.build import Build, Schedule, compile_model, workloads_in_place
from flextune.apply.executable import Executable
from flextune.csp.assignment import Assignment
from flextune.database.base import Database
from flextune.graph.options import GroupOptions, group_options
from flextune.graph.partition import Partition
from flextune.optimize.in_model import (
    ROUNDS,
    RUNS_PER_ROUND,
    Finalist,
    best_secs,
    measure_in_model,
    measurement_of,
    variants,
    winner,
)
from flextune.schedule.trace import Trace
from flextune.target.target import Target
from flextune.trial.decision import FusionDecision
from flextune.trial.record import TuningRecord
from flextune.tune.events import Callback
from flextune.tune.evidence import FINAL, best_record
from flextune.tune.loop import provenance
from flextune.tune.options import TuneOptions
from flextune.tune.switching import Circumstances, Switching
from flextune.tune.task import TuningTask
from flextune.tune.tasks import TasksResult, tune_tasks

VARIANTS = 3
"""Builds of the model in which finalists compete."""

_COMPARED_BUILDS = 3
"""The default, the best by the trials and the best inside the model."""

_COMPARED_ROUNDS = 7
_COMPARED_RUNS = 3
_LARGEST_RESERVE = 0.5
"""Of a budget in minutes, for what comes before and after the trials."""


@dataclass(frozen=True, slots=True)
class OptimizedModel:
    """The outcome for a model: the build to ship, its seconds and those of the default build, and what was decided."""

    tasks: TasksResult
    decisions: tuple[FusionDecision, ...]
    build: Build | None
    default_secs: float
    tuned_secs: float
    elapsed_secs: float


def optimize_model(
    partition: Partition,
    target: Target,
    options: TuneOptions,
    database: Database,
    callbacks: Sequence[Callback] = (),
    began: float | None = None,
) -> OptimizedModel:
    """Tunes a model within the budget and builds it; never slower than the build with default schedules.

    A budget in minutes counts from `began`, a moment of `time.perf_counter` (the call, by default). Trials, the times
    inside the model and the decisions on groups go to the database, so that `compile` finds them and another run goes
    on from there. An interrupted run keeps what it has, and builds nothing.
    """
    started = time.perf_counter() if began is None else began
    default, reserve = _default_build(partition, target)
    in_place = workloads_in_place(partition)
    groups = [group.without(in_place) for group in group_options(partition)]
    switching = Switching.of(groups, _outside(partition, groups), options.peaks)
    tasks = model_tasks(partition, switching, in_place)
    kept = _kept_secs(options, reserve + time.perf_counter() - started)
    tuned = tune_tasks(tasks, target, options, database, callbacks, switching.weights, kept)
    if tuned.interrupted or not tuned.searches:
        return OptimizedModel(tuned, (), None, math.inf, math.inf, time.perf_counter() - started)
    deadline = math.inf if options.budget.minutes is None else started + 60 * options.budget.minutes
    builds, best, decisions = _choose(partition, target, options, database, switching, tuned, deadline)
    candidates = [default, *builds] if best is None else [default, *builds, best]
    secs = latencies([build.executable for build in candidates])
    fastest = min(range(len(candidates)), key=secs.__getitem__)
    return OptimizedModel(
        tuned, tuple(decisions), candidates[fastest], secs[0], secs[fastest], time.perf_counter() - started
    )


def _choose(
    partition: Partition,
    target: Target,
    options: TuneOptions,
    database: Database,
    switching: Switching,
    tuned: TasksResult,
    deadline: float,
) -> tuple[list[Build], Build | None, list[FusionDecision]]:
    """The finalists inside the model, as far as time allows; what was chosen is recorded."""
    alone = {search.task.workload.key: search.best_secs for search in tuned.searches}
    tried = variants(switching, tuned.searches, VARIANTS)
    builds, finalists = measure_in_model(partition, tried, target, deadline)
    secs = best_secs(finalists, alone)
    choice = switching.choice(secs)
    best = winner(tried, finalists, choice)
    _record(database, finalists, options, partition.model.name)
    decisions = switching.decisions(secs, choice, Circumstances(partition.model.name, target.key, "in the model"))
    database.decide(decisions)
    if best == tried[0] or time.perf_counter() > deadline:
        return builds[:1], None, decisions
    return builds[:1], compile_model(partition.switched(best.choice), best.schedules, target), decisions


def model_tasks(partition: Partition, switching: Switching, in_place: Collection[str]) -> list[TuningTask]:
    """A task for every kernel of the model and of the options that are measured; those outside of groups last.

    Concatenations and slices that are `in_place` (keys) are no kernels.
    """
    counts = {task.workload.key: task.count for task in partition.tasks}
    labels = {task.workload.key: task.name for task in partition.tasks}
    workloads = {workload.key: workload for workload in switching.workloads()}
    workloads |= {task.workload.key: task.workload for task in partition.tasks}
    return [
        TuningTask(workload, counts.get(key, 1), labels.get(key, f"{workload.param('name')} ({key[:6]})"))
        for key, workload in workloads.items()
        if key not in in_place
    ]


def choice_of(groups: Sequence[GroupOptions], database: Database, target: Target) -> dict[str, str]:
    """What the records decided for each kind of group; the fused kernel where they say nothing."""
    decided = {decision.group_key: decision.chosen for decision in database.decisions(target.key)}
    return {
        group.kind: decided[group.key]
        for group in groups
        if decided.get(group.key) in {option.name for option in group.options}
    }


def recorded_schedules(partition: Partition, database: Database, target: Target) -> dict[str, Schedule]:
    """The best recorded schedule of each task that has one, by workload key."""
    keys = [task.workload.key for task in partition.tasks]
    found = {key: best_record(database.records(key, target.key)) for key in keys}
    return {
        key: (Trace.from_json(record.trace), Assignment.parse(record.assignment))
        for key, record in found.items()
        if record is not None
    }


def from_records(partition: Partition, database: Database, target: Target) -> tuple[Partition, dict[str, Schedule]]:
    """The model as the records decided on its groups, and the best recorded schedules of its tasks."""
    decided = partition.switched(choice_of(group_options(partition), database, target))
    return decided, recorded_schedules(decided, database, target)


def latencies(executables: Sequence[Executable]) -> tuple[float, ...]:
    """Median seconds of one run of each, timed in turns so that disturbances meet all of them alike."""
    inputs = executables[0].random_inputs(0)
    times: list[list[float]] = [[] for _ in executables]
    for _ in range(_COMPARED_ROUNDS):
        for index, executable in enumerate(executables):
            runs = executable.benchmark(inputs, min_runs=_COMPARED_RUNS, min_secs=0.05, warmup=1)
            times[index] += runs.run_secs
    return tuple(map(statistics.median, times))


def _outside(partition: Partition, groups: Sequence[GroupOptions]) -> dict[str, float]:
    """Calls of the workloads that are in no group of the plan."""
    inside = {workload.key for group in groups for workload in group.options[0].workloads}
    return {task.workload.key: float(task.count) for task in partition.tasks if task.workload.key not in inside}


def _default_build(partition: Partition, target: Target) -> tuple[Build, float]:
    """The build with default schedules, and what it lets expect of the builds and runs after the trials, in seconds."""
    started = time.perf_counter()
    build = compile_model(partition, {}, target)
    build_secs = time.perf_counter() - started
    run_secs = build.executable.benchmark(min_runs=3, min_secs=0.0, warmup=1).median_secs
    inside = VARIANTS * (build_secs + ROUNDS * (RUNS_PER_ROUND + 1) * run_secs)
    return build, inside + build_secs + _COMPARED_BUILDS * _COMPARED_ROUNDS * (_COMPARED_RUNS + 1) * run_secs


def _kept_secs(options: TuneOptions, wanted: float) -> float:
    """What trials leave of a budget in minutes."""
    minutes = options.budget.minutes
    return 0.0 if minutes is None else min(wanted, _LARGEST_RESERVE * 60 * minutes)


def _record(database: Database, finalists: Mapping[str, Sequence[Finalist]], options: TuneOptions, model: str) -> None:
    about = provenance(options)
    inside = replace(about, protocol=f"{FINAL}inside {model}, {about.protocol}")
    database.commit_all(
        TuningRecord.of(finalist.candidate, measurement_of(finalist), inside)
        for ranked in finalists.values()
        for finalist in ranked
    )
