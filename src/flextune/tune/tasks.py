"""Tuning the tasks of a model: one budget, one pool of workers, the next round where it can still gain most."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from flextune.database.base import Database
from flextune.measure.pool import WorkerPool
from flextune.platforms import registry
from flextune.target.target import Target
from flextune.tune.events import Callback
from flextune.tune.loop import provenance
from flextune.tune.options import TuneOptions
from flextune.tune.result import TaskResult
from flextune.tune.run import TuningRun
from flextune.tune.scheduler import TaskState, next_task, shares
from flextune.tune.task import TaskSearch, TuningTask, peak_flops

_FINAL_SECS_PER_TASK = 0.8
"""Set aside of a budget in minutes for comparing each task's finalists."""


@dataclass(frozen=True, slots=True)
class TasksResult:
    """The outcome of all tasks. `space_size` sums the tasks' spaces, the other figures are as in `TuningResult`."""

    tasks: tuple[TaskResult, ...]
    trials: int
    failed: int
    elapsed_secs: float
    trials_per_sec: float
    space_size: int
    interrupted: bool


def tune_tasks(
    tasks: Sequence[TuningTask],
    target: Target,
    options: TuneOptions,
    database: Database,
    callbacks: Sequence[Callback] = (),
) -> TasksResult:
    """Tunes several workloads within one budget, on this machine; every trial is committed to the database."""
    started = time.perf_counter()
    with WorkerPool(options.measure, target.cores) as pool:
        pool.start()
        platform = registry.get(target.kind)
        run = TuningRun(pool, platform, target, database, options, provenance(options), callbacks, started)
        searches: list[TaskSearch] = []
        with run.until_interrupted():
            searches.extend(map(run.open, tasks))
            share_budget(run, searches)
        return _result(run, searches)


def share_budget(run: TuningRun, searches: Sequence[TaskSearch]) -> None:
    """Round after round to the task with the largest expected gain; then each task's finalists."""
    budget, reserve_secs = run.options.budget, _FINAL_SECS_PER_TASK * len(searches)
    by_name = {search.task.name: search for search in searches}
    while run.secs_left > reserve_secs and (left := budget.trials_left(sum(search.trials for search in searches))):
        name = next_task({name: _state(run, search) for name, search in by_name.items()})
        if name is None:
            break
        run.play_round(by_name[name], reserve_secs, left)
    for search in searches:
        run.compare_finalists(search)


def _state(run: TuningRun, search: TaskSearch) -> TaskState:
    """The scheduler's view; the bound is the time at the machine's peak, 0 where that is not known."""
    workload, rounds = search.task.workload, tuple(search.round_best_secs)
    peak = peak_flops(run.options.peaks, workload)
    return TaskState(
        weight=search.task.count,
        best_secs=rounds,
        bound_secs=workload.flops / peak if peak else 0.0,
        round_secs=search.secs_per_round or 1.0,
        exhausted=search.exhausted or run.options.budget.out_of_patience(search.trials_without_gain),
    )


def _result(run: TuningRun, searches: Sequence[TaskSearch]) -> TasksResult:
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
    )
