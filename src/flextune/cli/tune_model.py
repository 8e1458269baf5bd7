"""`flextune tune MODEL.onnx`: every fused group is a task; the budget goes where the model can still gain."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from flextune.cli.inputs import database_path, peaks_of, read_target
from flextune.cli.live import LiveView
from flextune.cli.models import read_partition
from flextune.cli.output import JsonValue, print_json, rate, seconds, table
from flextune.cli.tune import ModelRequest, end_with
from flextune.database.store import open_database
from flextune.lowering.precision.precision import Precision
from flextune.optimization.model import OptimizedModel, optimize_model
from flextune.plan.partition import Partition
from flextune.tuning.options import TuneOptions
from flextune.tuning.result import TuningResult
from flextune.tuning.tasks import TasksResult

_TASKS_SHOWN = 20


def tune_model(path: Path, shapes: Mapping[str, tuple[int, ...]], asked: ModelRequest, as_json: bool) -> None:
    """Tunes the tasks of a model file, then times the whole model with default and with tuned schedules."""
    request, precision = asked.request, Precision.parse(asked.precision)
    target, db = read_target(request.target), database_path(request.db)
    precision.check(target)
    partition = read_partition(path, shapes, target, asked.without, precision)
    options = request.options(peaks_of(target))
    with open_database(db) as database, LiveView(request.budget, f"{path}: {len(partition.tasks)} tasks") as view:
        optimized = optimize_model(partition, target, options, database, (view,), asked.began)
    tasks = optimized.tasks
    result = model_result(str(path), partition, optimized, options, db)
    if as_json:
        shown: list[JsonValue] = [task.to_dict() for task in tasks.tasks]
        print_json({**result.to_dict(), "tasks": shown, "tuned_secs": result.best_secs})
    else:
        print(_report(result, tasks))
    end_with(tasks.interrupted, any(math.isfinite(task.best_secs) for task in tasks.tasks), view)


def model_result(
    path: str, partition: Partition, optimized: OptimizedModel, options: TuneOptions, db: str
) -> TuningResult:
    """The figures of the whole model: its latency by default and tuned."""
    tasks, tuned_secs = optimized.tasks, optimized.tuned_secs
    flops = partition.flops / tuned_secs
    return TuningResult(
        workload=path,
        strategy=options.strategy,
        trials=tasks.trials,
        failed=tasks.failed,
        best_secs=tuned_secs,
        best_gflops=flops / 1e9,
        fraction_of_peak=flops / options.peaks.float32_flops if options.peaks else 0.0,
        default_secs=optimized.default_secs,
        elapsed_secs=optimized.elapsed_secs,
        trials_per_sec=tasks.trials_per_sec,
        space_size=tasks.space_size,
        db=db,
        interrupted=tasks.interrupted,
    )


def _report(result: TuningResult, tasks: TasksResult) -> str:
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
    lines.append(
        f"  trials   {result.trials} ({result.failed} failed), {result.trials_per_sec:.1f} per second, "
        f"{result.elapsed_secs:.1f} s of tuning"
    )
    lines.append(f"  records  {result.db}")
    return "\n".join(lines)
