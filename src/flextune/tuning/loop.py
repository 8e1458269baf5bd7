"""Tuning one workload: propose, measure, learn; then name the winner."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace

from flextune.database.database import Database
from flextune.measure.local import local_runner
from flextune.measure.runner import RemoteRunner, Runner
from flextune.platforms import platform_registry
from flextune.target.host import host
from flextune.target.kinds import scale_of
from flextune.target.target import Target
from flextune.trial.record import Provenance, installed_versions
from flextune.tuning.description import check_target
from flextune.tuning.events import Callback, Phase
from flextune.tuning.result import TuningResult
from flextune.tuning.task_search import TaskSearch, TuningTask, peak_flops
from flextune.tuning.tune_options import TuneOptions
from flextune.tuning.tuning_run import TuningRun
from flextune.workload.workload import Workload

_FINAL_SECS = 1.0
"""Kept of a budget in minutes for the comparison of the finalists."""


def tune_workload(
    workload: Workload,
    target: Target,
    options: TuneOptions,
    database: Database,
    callbacks: Sequence[Callback] = (),
    database_name: str = "",
    runner: Runner | None = None,
) -> TuningResult:
    """Searches the workload's space within the budget; every trial is committed to the database.

    The result is never slower than the default schedule, which is measured first and again with the finalists.
    `runner` measures, this machine where none is given; it stays open.
    """
    check_target(options.pretrained, target, options.measure.runner or None)
    started = time.perf_counter()
    with local_runner(options.measure, target) if runner is None else nullcontext(runner) as measuring:
        platform = platform_registry.get(target.kind)
        options = for_runner(options, measuring)
        origin = provenance(options, target, measuring)
        run = TuningRun(measuring, platform, target, database, options, origin, callbacks, started)
        search = run.open(TuningTask(workload))
        with run.until_interrupted():
            spend_budget(run, search)
        return workload_result(run, search, database_name)


def spend_budget(run: TuningRun, search: TaskSearch) -> None:
    """The loop itself."""
    budget = run.options.budget
    run.begin(Phase.TRIALS)
    while run.secs_left > _FINAL_SECS and (left := budget.trials_left(search.trials)) and not search.exhausted:
        if budget.out_of_patience(search.trials_without_gain):
            break
        run.play_round(search, _FINAL_SECS, left)
    run.begin(Phase.FINALISTS)
    run.compare_finalists(search)


def for_runner(options: TuneOptions, runner: Runner) -> TuneOptions:
    """With rounds that keep all machines busy on which a runner measures side by side."""
    width = runner.width if isinstance(runner, RemoteRunner) else 1
    return options if width <= 1 else replace(options, round_trials=options.round_trials * width)


def provenance(options: TuneOptions, target: Target, runner: Runner | None = None) -> Provenance:
    """Who measures in this run: what all of its records have in common."""
    scale = scale_of(target, options.measure.runner or None)
    return Provenance(
        protocol=str(options.measure),
        versions=installed_versions(),
        seed=options.seed,
        strategy=options.strategy,
        strategy_options=options.strategy_options,
        cost_model=options.cost_model,
        cost_model_options=options.cost_model_options,
        pretrained=options.pretrained is not None,
        host=runner.fingerprint if isinstance(runner, RemoteRunner) else host().fingerprint,
        unit=scale.unit,
        origin=scale.origin,
    )


def workload_result(run: TuningRun, search: TaskSearch, database_name: str) -> TuningResult:
    """The figures of one task's search."""
    workload, best = search.task.workload, search.best
    flops = workload.flops / best.secs if best and run.scale.is_time else 0.0
    peak = peak_flops(run.options.peaks, workload)
    return TuningResult(
        workload=str(workload),
        strategy=run.options.strategy,
        trials=search.trials,
        failed=search.failed,
        best_secs=search.best_secs,
        best_gflops=flops / 1e9,
        fraction_of_peak=flops / peak if peak else 0.0,
        default_secs=search.default_secs,
        elapsed_secs=run.elapsed_secs,
        trials_per_sec=run.trials_per_sec,
        space_size=search.space.solutions.count,
        db=database_name,
        best=best.assignment if best else None,
        scale=run.scale,
        parts=dict(best.metrics) if best else {},
        trace=search.space.trace,
        interrupted=run.interrupted,
    )
