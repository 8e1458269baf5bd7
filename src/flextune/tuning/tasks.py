"""Tuning the tasks of a model: one budget, one runner, the next round where it can still gain most."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from flextune.database.database import Database
from flextune.measure.local import local_runner
from flextune.measure.runner import Runner
from flextune.platforms import platform_registry
from flextune.target.target import Target
from flextune.tuning.description import check_target
from flextune.tuning.events import Callback, Phase
from flextune.tuning.loop import provenance
from flextune.tuning.result import TaskResult
from flextune.tuning.scheduler import TaskState, expected_gain, next_task, shares
from flextune.tuning.task_search import TaskSearch, TuningTask
from flextune.tuning.transfer import Transfer
from flextune.tuning.tune_options import TuneOptions
from flextune.tuning.tuning_run import TuningRun

Weights = Callable[[Mapping[str, float]], Mapping[str, float]]
"""From the best seconds of each workload (by key) to how much of the model's time hangs on it: calls per run."""

Reserve = Callable[[Sequence[TaskSearch]], float]
"""From what is known of every task that is open to the seconds of a budget in minutes that are to be left over."""

_LEAST_GAIN = 2e-4
"""A round that is expected to save a smaller part of the model's time is not worth its own time: the run ends."""

_OPENED_TOGETHER = 8
_FINAL_SECS_PER_TASK = 0.8
"""Set aside of a budget in minutes for comparing each task's finalists."""


@dataclass(frozen=True, slots=True)
class TasksResult:
    """The outcome of all tasks. Figures are as in `TuningResult`."""

    tasks: tuple[TaskResult, ...]
    """One result per task."""
    trials: int
    """Of all tasks."""
    failed: int
    """Of all tasks."""
    elapsed_secs: float
    """Wall time of the run."""
    trials_per_sec: float
    """Of all tasks."""
    space_size: int
    """The sum of the tasks' spaces."""
    interrupted: bool
    """Whether Ctrl-C ended the run."""
    searches: tuple[TaskSearch, ...] = ()
    """What each task's search knows."""


def tune_tasks(
    tasks: Sequence[TuningTask],
    target: Target,
    options: TuneOptions,
    database: Database,
    callbacks: Sequence[Callback] = (),
    weights: Weights | None = None,
    reserve: Reserve | None = None,
    runner: Runner | None = None,
) -> TasksResult:
    """Tunes several workloads within one budget; every trial is committed to the database.

    What a task's time is worth is its count, or what `weights` makes of all tasks' times so far. With a `reserve`
    so much of the budget is left over, and finalists are not compared here. `runner` measures, this machine where none
    is given; it stays open.
    """
    check_target(options.pretrained, target)
    started = time.perf_counter()
    with local_runner(options.measure, target) if runner is None else nullcontext(runner) as measuring:
        platform = platform_registry.get(target.kind)
        run = TuningRun(measuring, platform, target, database, options, provenance(options, target), callbacks, started)
        searches: list[TaskSearch] = []
        with run.until_interrupted():
            share_budget(run, tasks, searches, weights, reserve)
        return tasks_result(run, searches)


def share_budget(
    run: TuningRun,
    tasks: Sequence[TuningTask],
    searches: list[TaskSearch],
    weights: Weights | None = None,
    reserve: Reserve | None = None,
) -> None:
    """The first round of every task, then round after round to the largest expected gain, then each task's finalists.

    Opened tasks are added to `searches` as they come, so that an interrupted run knows them.
    """
    run.begin(Phase.TRIALS)
    final_secs = _final_secs(run, len(tasks))

    def reserved() -> float:
        return final_secs if reserve is None else reserve(searches)

    for start in range(0, len(tasks), _OPENED_TOGETHER):
        opened = [run.open(task) for task in tasks[start : start + _OPENED_TOGETHER]]
        searches.extend(opened)
        new = [search for search in opened if not search.known][: _trials_left(run, searches)]
        if new and run.secs_left > (reserve_secs := reserved()):
            run.first_trials(new, reserve_secs)
    by_name, transfer = {search.task.name: search for search in searches}, Transfer()
    while run.secs_left > (reserve_secs := reserved()) and (left := _trials_left(run, searches)):
        worth = _worth(searches, weights)
        states = {name: _state(run, search, worth[search.task.workload.key]) for name, search in by_name.items()}
        name = next_task(states)
        if name is None or _is_done(states, name):
            break
        run.play_round(by_name[name], reserve_secs, left, transfer.hints(by_name[name], searches))
    if reserve is not None:
        return
    run.begin(Phase.FINALISTS)
    for search in sorted(searches, key=_model_secs, reverse=True):
        if run.secs_left > 0:
            run.compare_finalists(search)


def _final_secs(run: TuningRun, tasks: int) -> float:
    """What is kept of a budget in minutes for comparing finalists: a fifth of it at most."""
    minutes = run.options.budget.minutes
    return 0.0 if minutes is None else min(_FINAL_SECS_PER_TASK * tasks, 0.2 * 60 * minutes)


def _trials_left(run: TuningRun, searches: Sequence[TaskSearch]) -> int:
    return run.options.budget.trials_left(sum(search.trials for search in searches))


def _model_secs(search: TaskSearch) -> float:
    """The task's part of the model's time, as far as it is known."""
    return search.task.count * search.best_secs if search.best else 0.0


def _worth(searches: Sequence[TaskSearch], weights: Weights | None) -> dict[str, float]:
    """How many calls of each workload count."""
    if weights is None:
        return {search.task.workload.key: search.task.count for search in searches}
    worth = weights({search.task.workload.key: search.best_secs for search in searches})
    return {search.task.workload.key: worth.get(search.task.workload.key, 0.0) for search in searches}


def _is_done(states: Mapping[str, TaskState], name: str) -> bool:
    """Whether the next round, the most promising one, is expected to gain next to nothing."""
    model_secs = sum(state.weight * state.best_secs[-1] for state in states.values() if state.best_secs)
    gain = expected_gain(states[name]) * states[name].round_secs
    return math.isfinite(model_secs) and gain < _LEAST_GAIN * model_secs


def _state(run: TuningRun, search: TaskSearch, weight: float) -> TaskState:
    """The scheduler's view; the bound is the time at the machine's peak, 0 where that is not known."""
    rounds = tuple(search.round_best_secs)
    return TaskState(
        weight=weight,
        best_secs=rounds,
        bound_secs=run.bound_secs(search.task.workload),
        round_secs=search.secs_per_round or 1.0,
        exhausted=search.exhausted or run.options.budget.out_of_patience(search.trials_without_gain),
    )


def tasks_result(run: TuningRun, searches: Sequence[TaskSearch]) -> TasksResult:
    """The figures of all tasks opened so far."""
    parts = shares([search.trials for search in searches])
    tasks = tuple(
        TaskResult(
            name=search.task.name,
            workload=str(search.task.workload),
            count=search.task.count,
            trials=search.trials,
            best_secs=search.best_secs,
            default_secs=search.default_secs,
            share=share,
            tunable=search.space.tunable,
        )
        for search, share in zip(searches, parts, strict=True)
    )
    return TasksResult(
        tasks=tasks,
        trials=sum(search.trials for search in searches),
        failed=sum(search.failed for search in searches),
        elapsed_secs=run.elapsed_secs,
        trials_per_sec=run.trials_per_sec,
        space_size=sum(search.space.solutions.count for search in searches),
        interrupted=run.interrupted,
        searches=tuple(searches),
    )
