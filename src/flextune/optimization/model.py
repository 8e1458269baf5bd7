"""Tuning a whole model: kernels and groups by their own times first, then the finalists inside the model."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from flextune.apply.build import Build, workloads_in_place
from flextune.apply.model_runner import ModelRunner
from flextune.apply.model_service import SECS_PER_TIME
from flextune.database.database import Database
from flextune.measure.launcher import Interpreter
from flextune.measure.local import local_processes, local_runner
from flextune.measure.runner import Runner
from flextune.optimization.ab_test import ABTestResult, Limits
from flextune.optimization.contender import Contender, Contest, FailedBuild, compare, local_models
from flextune.optimization.in_model import (
    ROUNDS,
    RUNS_PER_ROUND,
    Finalist,
    best_secs,
    measure_in_model,
    measurement_of,
    model_candidates,
    winner,
)
from flextune.optimization.layouts import LayoutChoice, choose_layouts, recorded_layouts
from flextune.optimization.recorded import recorded_schedules
from flextune.optimization.verdict import verdict
from flextune.plan.group_kernels import GroupKernels, group_kernels
from flextune.plan.partition import Partition
from flextune.platforms.estimator import TargetEstimator
from flextune.target.kinds import check_models_run
from flextune.target.target import Target
from flextune.trial.decision import Decision, GroupDecision
from flextune.trial.record import Evidence, TuningRecord
from flextune.tuning.events import Callback, Event, ModelTimed, Phase, PhaseBegan
from flextune.tuning.loop import provenance
from flextune.tuning.selection import Circumstances, Selection
from flextune.tuning.task_search import TaskSearch, TuningTask
from flextune.tuning.tasks import TasksResult, tune_tasks
from flextune.tuning.tune_options import TuneOptions

MODEL_CANDIDATES, LEAST_MODEL_CANDIDATES = 3, 2
"""Builds of the model in which finalists compete; fewer where that many would take more than `_FINALISTS_SHARE`."""

_FINALISTS_SHARE = 0.125
"""Of a budget in minutes, for building them, if each takes as long as the default build."""

_COMPARED_BUILDS = 3
"""The default, the best by the trials and the best inside the model."""

_COMPARED_SECS = 20.0
_COMPARED_SHARE = 0.1
"""For comparing them, where it does not become clear before: seconds, and the share of a budget in minutes."""

_RUNS_PER_COMPARED_ROUND = 4
"""Two that are timed and one before each."""

LAYOUTS_SHARE = 0.125
"""Of a budget in minutes, for finding the layouts: not tried where one more build would take most of it."""

_LAYOUT_BUILD = 1.5
"""What the first build in other layouts takes with its measurement, over the default build."""

_BUILDS_TAKE_LONGER = 1.25
"""Builds with tuned schedules, after minutes of work, over the default build at the start."""

_LOWERING_SHARE = 0.4
"""Of a build's time: what is not compiling its kernels, which later builds have in common with earlier ones."""

_LARGEST_RESERVE = 0.5
"""Of a budget in minutes, for what comes before and after the trials."""

_UNFORESEEN = 0.02
"""Of a budget in minutes, for what takes longer than expected, and for the process to come and go."""


@dataclass(frozen=True, slots=True)
class OptimizedModel:
    """The outcome for a model."""

    tasks: TasksResult
    """What tuning its kernels found."""
    decisions: tuple[Decision, ...]
    """On its groups, its layouts and the model as a whole, as they are recorded."""
    build: Build | None
    """What to ship; None where the run was interrupted, and where there was nothing to tune."""
    is_tuned: bool
    """Whether that is another build than the one with default schedules."""
    default_secs: float
    """Seconds of a run of the build with default schedules."""
    tuned_secs: float
    """Seconds of a run of the build to ship; infinity where there is none."""
    elapsed_secs: float
    """Wall time of it all."""
    failures: tuple[FailedBuild, ...] = ()
    """Builds of the whole model that crashed, hung, computed something else, or could not be made."""
    reference: str = ""
    """What the builds' outputs were compared with."""
    is_cut: bool = False
    """Whether the budget's minutes were over before it was clear which build is the fastest: the default one is shipped
    then, and whoever builds the model with the records compares again."""

    @property
    def interrupted(self) -> bool:
        """Whether the run was ended by Ctrl-C."""
        return self.tasks.interrupted


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """What the steps of a run share."""

    target: Target
    """For which machine."""
    options: TuneOptions
    """The budget, and how to search."""
    database: Database
    """Where trials and decisions are recorded."""
    contest: Contest
    """All builds of the whole model."""
    runner: Runner
    """What measures kernels."""
    started: float
    """A moment of `time.perf_counter`, from which the budget counts."""
    callbacks: Sequence[Callback] = ()
    """Told of every event."""

    def tell(self, event: Event) -> None:
        for callback in self.callbacks:
            callback(event)

    @property
    def elapsed_secs(self) -> float:
        return time.perf_counter() - self.started

    def deadline(self, share: float = 1.0, since: float | None = None) -> float:
        """The moment at which a share of a budget in minutes is used up; never without one."""
        minutes = self.options.budget.minutes
        return math.inf if minutes is None else (self.started if since is None else since) + share * 60 * minutes


def optimize_model(
    partition: Partition,
    target: Target,
    options: TuneOptions,
    database: Database,
    callbacks: Sequence[Callback] = (),
    began: float | None = None,
    models: ModelRunner | None = None,
    runner: Runner | None = None,
    interpreter: Interpreter | None = None,
) -> OptimizedModel:
    """Tunes a model within the budget and builds it: with default schedules, unless another is shown to be faster.

    A budget in minutes counts from `began`, a moment of `time.perf_counter` (the call, by default). Trials, the times
    inside the model and the decisions on groups go to the database, so that `compile` finds them and another run goes
    on from there. An interrupted run keeps what it has, and builds nothing.

    Whole builds are compiled, checked and timed by `models`, kernels by `runner`: processes of this machine, by
    default, which `interpreter` forks (of `local_processes`; of its own where none is given). BuildError where the
    build with default schedules fails; UsageError for a target that this machine cannot run whole models for.
    """
    check_models_run(target)
    started = time.perf_counter() if began is None else began
    with ExitStack() as started_here:  # both load what they need while the first build is lowered
        if interpreter is None and (models is None or runner is None):
            interpreter = started_here.enter_context(local_processes(target))
        if models is None:
            models = started_here.enter_context(local_models(partition, target, options.budget.minutes, interpreter))
        if runner is None:
            runner = started_here.enter_context(local_runner(options.measure, target, interpreter))
        run = _Run(target, options, database, Contest(target, models), runner, started, tuple(callbacks))
        return _optimized(partition, run)


def _optimized(partition: Partition, run: _Run) -> OptimizedModel:
    """The steps of a run, in their order."""
    options, database, whole = run.options, run.database, partition
    name = partition.model.name
    run.tell(PhaseBegan(Phase.DEFAULT_BUILD, name))
    default, build_secs = _default_build(partition, run)
    run_secs = default.opened.run_secs()
    run.tell(PhaseBegan(Phase.LAYOUTS, name))
    laid_out = _laid_out(partition, default, run, build_secs)
    partition, first = laid_out.partition, [] if laid_out.decision is None else [laid_out.decision]
    database.decide(first)
    in_place = workloads_in_place(partition)
    groups = [group.without(in_place) for group in group_kernels(partition)]
    selection = Selection.of(groups, _outside(partition, groups), TargetEstimator(run.target, options.peaks))
    tasks = model_tasks(partition, selection, in_place)
    ahead = _AfterTrials(options, selection, len(partition.tasks), build_secs, run_secs, run.elapsed_secs)
    run.tell(ModelTimed(name, run_secs, tuple((task.name, task.count) for task in partition.tasks)))
    tuned = tune_tasks(
        tasks, run.target, options, database, run.callbacks, selection.weights, ahead.kept_secs, run.runner
    )
    if tuned.interrupted or not tuned.searches:
        failures = run.contest.failures
        return OptimizedModel(tuned, tuple(first), None, False, math.inf, math.inf, run.elapsed_secs, failures)
    run.tell(PhaseBegan(Phase.FINALISTS, name))
    contenders, decisions = _choose(partition, run, selection, tuned, build_secs)
    others = [each for each in (laid_out.contender, *contenders) if each is not default and not each.failed]
    candidates = [default, *others]
    run.tell(PhaseBegan(Phase.COMPARISON, name))
    found = _compared(candidates, run.deadline() - time.perf_counter(), run_secs)
    is_cut = found.is_cut or not (others or run.contest.failures)
    joules = [each.opened.joules for each in candidates]
    last = (
        None
        if is_cut
        else verdict(whole, run.target, found, options.peaks, run.contest.failures, lambda number: joules[number]())
    )
    about_all = [] if last is None else [last]
    database.decide(about_all)
    return OptimizedModel(
        tuned,
        (*first, *decisions, *about_all),
        candidates[found.chosen].build,
        found.chosen > 0,
        found.secs[0],
        found.secs[found.chosen],
        run.elapsed_secs,
        run.contest.failures,
        run.contest.reference,
        is_cut,
    )


def _compared(candidates: Sequence[Contender], left_secs: float, run_secs: float) -> ABTestResult:
    """The candidates in turns, in so many seconds; without any round where not even one fits in."""
    round_secs = _round_secs(len(candidates), run_secs)
    if left_secs < round_secs:
        return ABTestResult(0, (run_secs, *(math.inf for _ in candidates[1:])), 0, is_cut=True)
    return compare(candidates, Limits(secs=min(_COMPARED_SECS, left_secs), most_secs=left_secs - round_secs))


def _round_secs(candidates: int, run_secs: float) -> float:
    """Of a round in which so many builds take turns."""
    return candidates * _RUNS_PER_COMPARED_ROUND * max(run_secs, SECS_PER_TIME / 2)


def _laid_out(partition: Partition, default: Contender, run: _Run, build_secs: float) -> LayoutChoice:
    """The model in the layouts that the records decided, else in those that are found now.

    A model most of whose kernels were tuned in NHWC already stays so: what is compared are default schedules.
    """
    known = recorded_layouts(partition, run.database, run.target)
    if known is not None:
        return LayoutChoice(partition.laid_out(known), default)
    now = time.perf_counter()
    deadline = run.deadline(LAYOUTS_SHARE, now)
    is_tuned = 2 * len(recorded_schedules(partition, run.database, run.target)) > len(partition.tasks)
    if is_tuned or now + _LAYOUT_BUILD * build_secs > deadline:
        return LayoutChoice(partition, default)
    return choose_layouts(partition, default, run.contest, run.options.peaks, deadline)


def _choose(
    partition: Partition, run: _Run, selection: Selection, tuned: TasksResult, build_secs: float
) -> tuple[list[Contender], list[GroupDecision]]:
    """The best builds by the trials and inside the model, as far as time allows; what was chosen is recorded."""
    alone = {search.task.workload.key: search.best_secs for search in tuned.searches}
    tried = model_candidates(selection, tuned.searches, competing_builds(run.options, build_secs))
    built, finalists = measure_in_model(partition, tried, run.contest, run.deadline(), build_secs)
    secs = best_secs(finalists, alone)
    choice = selection.choice(secs)
    best = winner(tried, finalists, choice)
    model = partition.model.name
    _record(run.database, finalists, run.options, run.target, model)
    decisions = selection.decisions(secs, choice, Circumstances(model, run.target.key, "in the model"))
    run.database.decide(decisions)
    by_trials = [built[0]] if 0 in built else []
    if best == tried[0] or time.perf_counter() + build_secs > run.deadline():
        return by_trials, decisions
    last = run.contest.enter("with the best of every kernel", partition.switched(best.choice), best.schedules)
    return [*by_trials, *([] if last is None else [last])], decisions


def model_tasks(partition: Partition, selection: Selection, in_place: Collection[str]) -> list[TuningTask]:
    """A task for every kernel of the model and of the alternatives that are measured; those outside of groups last.

    Concatenations and slices that are `in_place` (keys) are no kernels.
    """
    counts = {task.workload.key: task.count for task in partition.tasks}
    labels = {task.workload.key: task.name for task in partition.tasks}
    workloads = {workload.key: workload for workload in selection.workloads()}
    workloads |= {task.workload.key: task.workload for task in partition.tasks}
    return [
        TuningTask(workload, counts.get(key, 1), labels.get(key, f"{workload.param('name')} ({key[:6]})"))
        for key, workload in workloads.items()
        if key not in in_place
    ]


def _outside(partition: Partition, groups: Sequence[GroupKernels]) -> dict[str, float]:
    """Calls of the workloads that are in no group of the plan."""
    inside = {workload.key for group in groups for workload in group.kernels[group.default]}
    return {task.workload.key: float(task.count) for task in partition.tasks if task.workload.key not in inside}


def _default_build(partition: Partition, run: _Run) -> tuple[Contender, float]:
    """The build with default schedules, and the seconds that it took."""
    started = time.perf_counter()
    default = run.contest.first(partition)
    return default, time.perf_counter() - started


@dataclass(frozen=True, slots=True, eq=False)
class _AfterTrials:
    """What a budget in minutes has to leave for when the trials are over."""

    options: TuneOptions
    """The budget."""
    selection: Selection
    """The groups of the model, from which builds follow."""
    kernels: int
    """Those of the default build,"""
    build_secs: float
    """and how long that took."""
    run_secs: float
    """Of one run of the model."""
    spent_secs: float
    """Before the trials began, which the budget covers too."""

    def kept_secs(self, searches: Sequence[TaskSearch]) -> float:
        """What trials leave of the budget, by what has been found so far: a kernel is compiled once in all builds."""
        if self.options.budget.minutes is None:
            return 0.0
        default = {search.task.workload.key: search.space.default for search in searches}
        competing = competing_builds(self.options, self.build_secs)
        tried = model_candidates(self.selection, searches, competing)
        chosen = {(key, str(each.assignment)) for each_model in tried for key, each in each_model.candidates.items()}
        new = len(chosen - {(key, str(assignment)) for key, assignment in default.items()})
        builds = (competing + 1) * _LOWERING_SHARE + (1 - _LOWERING_SHARE) * new / max(1, self.kernels)
        inside = competing * ROUNDS * (RUNS_PER_ROUND + 1) * self.run_secs
        wanted = _BUILDS_TAKE_LONGER * (builds * self.build_secs + inside)
        wanted += self.spent_secs + _comparison_secs(self.options, self.run_secs)
        whole = 60 * self.options.budget.minutes
        return min(wanted, _LARGEST_RESERVE * whole) + _UNFORESEEN * whole


def competing_builds(options: TuneOptions, build_secs: float) -> int:
    """In how many builds finalists compete: minutes that few builds fill are better spent on more trials."""
    minutes = options.budget.minutes
    is_short = minutes is not None and MODEL_CANDIDATES * build_secs > _FINALISTS_SHARE * 60 * minutes
    return LEAST_MODEL_CANDIDATES if is_short else MODEL_CANDIDATES


def _comparison_secs(options: TuneOptions, run_secs: float) -> float:
    """What a comparison needs that stays unclear, within its share; in any case what its least rounds need."""
    limits = Limits()
    round_secs = _round_secs(_COMPARED_BUILDS, run_secs)
    share = math.inf if options.budget.minutes is None else _COMPARED_SHARE * 60 * options.budget.minutes
    return max(limits.least_rounds * round_secs, min(_COMPARED_SECS, share, limits.most_rounds * round_secs))


def _record(
    database: Database,
    finalists: Mapping[str, Sequence[Finalist]],
    options: TuneOptions,
    target: Target,
    model: str,
) -> None:
    about = provenance(options, target)
    database.commit_all(
        TuningRecord.of(finalist.candidate, measurement_of(finalist), about, None, Evidence.IN_MODEL, model)
        for ranked in finalists.values()
        for finalist in ranked
    )
