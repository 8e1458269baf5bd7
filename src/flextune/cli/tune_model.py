"""`flextune tune MODEL.onnx`: every fused group is a task; the budget goes where the model can still gain."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from flextune.cli.inputs import database_path, read_target
from flextune.cli.live import LiveView
from flextune.cli.models import read_partition
from flextune.cli.output import JsonValue, print_json, rate, seconds, table
from flextune.cli.tune import ModelRequest, end_with
from flextune.database.store import open_database
from flextune.interface import optimize_partition
from flextune.lowering.precision.precision import Precision
from flextune.measure.launcher import Interpreter
from flextune.optimization.model import OptimizedModel
from flextune.plan.partition import Partition
from flextune.target.peaks import Peaks, peaks_of
from flextune.tuning.result import TuningResult

_TASKS_SHOWN = 20


def tune_model(
    path: Path, shapes: Mapping[str, tuple[int, ...]], asked: ModelRequest, as_json: bool, interpreter: Interpreter
) -> None:
    """Tunes the tasks of a model file, then times the whole model with default and with tuned schedules.

    `interpreter` forks the processes that measure.
    """
    request, precision = asked.request, Precision.parse(asked.precision)
    target, db, search = read_target(request.target), database_path(request.db), request.search()
    precision.check(target)
    partition = read_partition(path, shapes, target, asked.without, precision)
    budget = request.budget
    with open_database(db) as database, LiveView(budget, f"{path}: {len(partition.tasks)} tasks") as view:
        found = optimize_partition(partition, target, budget, database, search, (view,), asked.began, interpreter)
    optimized = found.tuned
    assert optimized is not None  # there is a budget
    tasks = optimized.tasks
    result = model_result(
        str(path), partition, optimized, request.strategy, peaks_of(target, measure_missing=False), db
    )
    if as_json:
        shown: list[JsonValue] = [task.to_dict() for task in tasks.tasks]
        print_json({**result.to_dict(), "tasks": shown, "tuned_secs": result.best_secs})
    else:
        print(_report(result, optimized))
    end_with(tasks.interrupted, any(math.isfinite(task.best_secs) for task in tasks.tasks), view)


def model_result(
    path: str, partition: Partition, optimized: OptimizedModel, strategy: str, peaks: Peaks | None, db: str
) -> TuningResult:
    """The figures of the whole model: its latency by default and tuned."""
    tasks, tuned_secs = optimized.tasks, optimized.tuned_secs
    flops = partition.flops / tuned_secs
    return TuningResult(
        workload=path,
        strategy=strategy,
        trials=tasks.trials,
        failed=tasks.failed,
        best_secs=tuned_secs,
        best_gflops=flops / 1e9,
        fraction_of_peak=flops / peaks.float32_flops if peaks else 0.0,
        default_secs=optimized.default_secs,
        elapsed_secs=optimized.elapsed_secs,
        trials_per_sec=tasks.trials_per_sec,
        space_size=tasks.space_size,
        db=db,
        interrupted=tasks.interrupted,
    )


def _report(result: TuningResult, optimized: OptimizedModel) -> str:
    tasks = optimized.tasks
    rows = [
        (task.name, f"{task.count}", f"{task.trials}", seconds(task.default_secs), seconds(task.best_secs))
        for task in tasks.tasks[:_TASKS_SHOWN]
    ]
    lines = [result.workload, table(("task", "count", "trials", "default", "best"), rows, "  ")]
    if len(tasks.tasks) > _TASKS_SHOWN:
        lines.append(f"  and {len(tasks.tasks) - _TASKS_SHOWN} smaller tasks")
    if untuned := [task.name for task in tasks.tasks if not task.tunable]:
        lines.append(f"  with their default schedule, no rule knows them yet: {', '.join(untuned)}")
    if math.isfinite(result.best_secs):
        gain = result.default_secs / result.best_secs
        lines.append(
            f"  model    {seconds(result.best_secs)}  {rate(result.best_gflops * 1e9)}, default "
            f"{seconds(result.default_secs)} ({gain:.2f}x)"
        )
    lines += [f"  left out {failed}" for failed in optimized.failures]
    lines.append(
        f"  trials   {result.trials} ({result.failed} failed), {result.trials_per_sec:.1f} per second, "
        f"{result.elapsed_secs:.1f} s of tuning"
    )
    lines.append(f"  records  {result.db}")
    return "\n".join(lines)
