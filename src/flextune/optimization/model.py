"""Tuning a whole model: kernels and groups by their own times first, then the finalists inside the model."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from flextune.apply.build import Build, Schedule, compile_model, workloads_in_place
from flextune.apply.executable import Executable
from flextune.csp.assignment import Assignment
from flextune.database.base import Database
from flextune.optimization.in_model import (
    ROUNDS,
    RUNS_PER_ROUND,
    Finalist,
    best_secs,
    measure_in_model,
    measurement_of,
    variants,
    winner,
)
from flextune.optimization.in_turns import Limits, Outcome, choose_in_turns
from flextune.optimization.layouts import LayoutChoice, choose_layouts, recorded_layouts
from flextune.optimization.verdict import verdict
from flextune.plan.layouts.assignment import ALL_NHWC
from flextune.plan.options import GroupOptions, group_options
from flextune.plan.partition import Partition
from flextune.platforms.estimator import TargetEstimator
from flextune.schedule.trace import Trace
from flextune.target.target import Target
from flextune.trial.decision import Decision, GroupDecision
from flextune.trial.record import Evidence, TuningRecord
from flextune.tuning.events import Callback
from flextune.tuning.evidence import best_record
from flextune.tuning.loop import provenance
from flextune.tuning.options import TuneOptions
from flextune.tuning.switching import Circumstances, Switching
from flextune.tuning.task import TuningTask
from flextune.tuning.tasks import TasksResult, tune_tasks

VARIANTS = 3
"""Builds of the model in which finalists compete."""

_COMPARED_BUILDS = 3
"""The default, the best by the trials and the best inside the model."""

_COMPARED_SECS = 20.0
_COMPARED_SHARE = 0.1
"""For comparing them, where it does not become clear before: seconds, and the share of a budget in minutes."""

_RUNS_PER_COMPARED_ROUND = 4
"""Two that are timed and one before each."""

_SECS_PER_TIME = 0.02
"""A time is the median of so many runs as fit in here, one at least."""
LAYOUTS_SHARE = 0.125
"""Of a budget in minutes, for finding the layouts: not tried where one more build would take most of it."""

_LAYOUT_BUILD = 1.5
"""What the first build in other layouts takes with its measurement, over the default build."""

_BUILDS_TAKE_LONGER = 1.25
"""Builds with tuned schedules, after minutes of work, over the default build at the start."""

_LARGEST_RESERVE = 0.5
"""Of a budget in minutes, for what comes before and after the trials."""

_UNFORESEEN = 0.02
"""Of a budget in minutes, for what takes longer than expected, and for the process to come and go."""


@dataclass(frozen=True, slots=True)
class OptimizedModel:
    """The outcome for a model: the build to ship, its seconds and those of the default build, and what was decided."""

    tasks: TasksResult
    decisions: tuple[Decision, ...]
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
    """Tunes a model within the budget and builds it: with default schedules, unless another is shown to be faster.

    A budget in minutes counts from `began`, a moment of `time.perf_counter` (the call, by default). Trials, the times
    inside the model and the decisions on groups go to the database, so that `compile` finds them and another run goes
    on from there. An interrupted run keeps what it has, and builds nothing.
    """
    started = time.perf_counter() if began is None else began
    default, build_secs, reserve = _default_build(partition, target, options)
    laid_out = _laid_out(partition, default, target, options, database, build_secs)
    whole, partition = partition, laid_out.partition
    first: list[Decision] = [] if laid_out.decision is None else [laid_out.decision]
    database.decide(first)
    in_place = workloads_in_place(partition)
    groups = [group.without(in_place) for group in group_options(partition)]
    switching = Switching.of(groups, _outside(partition, groups), TargetEstimator(target, options.peaks))
    tasks = model_tasks(partition, switching, in_place)
    kept = _kept_secs(options, reserve + time.perf_counter() - started)
    tuned = tune_tasks(tasks, target, options, database, callbacks, switching.weights, kept)
    if tuned.interrupted or not tuned.searches:
        return OptimizedModel(tuned, tuple(first), None, math.inf, math.inf, time.perf_counter() - started)
    deadline = _deadline(options, started)
    builds, best, decisions = _choose(partition, target, options, database, switching, tuned, deadline)
    others = [build for build in (laid_out.build, *builds, best) if build is not None and build is not default]
    candidates = [default, *others]
    left = max(0.0, min(_COMPARED_SECS, deadline - time.perf_counter()))
    found = compare([build.executable for build in candidates], Limits(secs=left))
    last = verdict(whole, target, found, options.peaks)
    about_all = [] if last is None else [last]
    database.decide(about_all)
    return OptimizedModel(
        tuned,
        (*first, *decisions, *about_all),
        candidates[found.chosen],
        found.secs[0],
        found.secs[found.chosen],
        time.perf_counter() - started,
    )


def _laid_out(
    partition: Partition, default: Build, target: Target, options: TuneOptions, database: Database, build_secs: float
) -> LayoutChoice:
    """The model in the layouts that the records decided, else in those that are found now.

    A model most of whose kernels were tuned in NHWC already stays so: what is compared are default schedules.
    """
    known = recorded_layouts(partition, database, target)
    if known is not None:
        return LayoutChoice(partition.laid_out(known), default)
    now = time.perf_counter()
    deadline = _deadline(options, now, LAYOUTS_SHARE)
    is_tuned = 2 * len(recorded_schedules(partition, database, target)) > len(partition.tasks)
    if is_tuned or now + _LAYOUT_BUILD * build_secs > deadline:
        return LayoutChoice(partition, default)
    return choose_layouts(partition, default, target, options.peaks, deadline)


def _choose(
    partition: Partition,
    target: Target,
    options: TuneOptions,
    database: Database,
    switching: Switching,
    tuned: TasksResult,
    deadline: float,
) -> tuple[list[Build], Build | None, list[GroupDecision]]:
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
    """What the records decided for each kind of group; nothing where they say nothing, which is the default."""
    decided = {decision.key: decision.chosen for decision in database.decisions(GroupDecision, target.key)}
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
    """The model as the records decided on its layouts and groups, and the best recorded schedules of its tasks."""
    laid_out = partition.laid_out(recorded_layouts(partition, database, target) or ALL_NHWC)
    decided = laid_out.switched(choice_of(group_options(laid_out), database, target))
    return decided, recorded_schedules(decided, database, target)


def compare(executables: Sequence[Executable], limits: Limits) -> Outcome:
    """Which executable of one model to use: the first one, unless another is shown to be faster."""
    inputs = executables[0].random_inputs(0)

    def once(executable: Executable) -> float:
        return executable.benchmark(inputs, min_runs=1, min_secs=_SECS_PER_TIME, warmup=1).median_secs

    return choose_in_turns([partial(once, each) for each in executables], limits)


def _outside(partition: Partition, groups: Sequence[GroupOptions]) -> dict[str, float]:
    """Calls of the workloads that are in no group of the plan."""
    inside = {workload.key for group in groups for workload in group.options[0].workloads}
    return {task.workload.key: float(task.count) for task in partition.tasks if task.workload.key not in inside}


def _default_build(partition: Partition, target: Target, options: TuneOptions) -> tuple[Build, float, float]:
    """The build with default schedules, its seconds, and the seconds to expect of builds and runs after the trials."""
    started = time.perf_counter()
    build = compile_model(partition, {}, target)
    build_secs = time.perf_counter() - started
    run_secs = build.executable.benchmark(min_runs=3, min_secs=0.0, warmup=1).median_secs
    inside = VARIANTS * (build_secs + ROUNDS * (RUNS_PER_ROUND + 1) * run_secs)
    return build, build_secs, _BUILDS_TAKE_LONGER * (inside + build_secs) + _comparison_secs(options, run_secs)


def _comparison_secs(options: TuneOptions, run_secs: float) -> float:
    """What a comparison needs that stays unclear, within its share; in any case what its least rounds need."""
    limits = Limits()
    round_secs = _COMPARED_BUILDS * _RUNS_PER_COMPARED_ROUND * max(run_secs, _SECS_PER_TIME / 2)
    share = math.inf if options.budget.minutes is None else _COMPARED_SHARE * 60 * options.budget.minutes
    return max(limits.least_rounds * round_secs, min(_COMPARED_SECS, share, limits.most_rounds * round_secs))


def _deadline(options: TuneOptions, started: float, share: float = 1.0) -> float:
    """The moment at which a share of a budget in minutes is used up; never without one."""
    minutes = options.budget.minutes
    return math.inf if minutes is None else started + share * 60 * minutes


def _kept_secs(options: TuneOptions, wanted: float) -> float:
    """What trials leave of a budget in minutes."""
    if options.budget.minutes is None:
        return 0.0
    whole = 60 * options.budget.minutes
    return min(wanted, _LARGEST_RESERVE * whole) + _UNFORESEEN * whole


def _record(database: Database, finalists: Mapping[str, Sequence[Finalist]], options: TuneOptions, model: str) -> None:
    about = provenance(options)
    database.commit_all(
        TuningRecord.of(finalist.candidate, measurement_of(finalist), about, None, Evidence.IN_MODEL, model)
        for ranked in finalists.values()
        for finalist in ranked
    )
