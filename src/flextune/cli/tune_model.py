"""`flextune tune MODEL.onnx`: every fused group is a task; the budget goes where the model can still gain."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from flextune.cli.inputs import database_path, read_target
from flextune.cli.live import LiveView
from flextune.cli.models import read_split, runtime_line
from flextune.cli.output import JsonValue, print_json, rate, seconds, table
from flextune.cli.tune import ModelRequest, end_with, kept
from flextune.cli.tune_symbolic import symbolic_facts, symbolic_report
from flextune.database.store import open_database
from flextune.errors import FlextuneError
from flextune.interface import optimize_parts
from flextune.lowering.precision.precision import Precision
from flextune.measure.launcher import Interpreter
from flextune.optimization.hybrid import Lowering, OptimizedSplit
from flextune.optimization.model import OptimizedModel
from flextune.plan.partition import Partition
from flextune.target.peaks import Peaks, peaks_of
from flextune.tuning.events import Phase, PhaseBegan
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
    lowering = Lowering(target, asked.without, precision)
    with LiveView(request.budget, str(path), began=asked.began, phases=tuple(Phase)) as view:
        try:
            view(PhaseBegan(Phase.IMPORT))
            split = read_split(path, shapes, lowering, asked.only_own, asked.providers, asked.values, asked.dims)
            if split.model.dims:
                view(PhaseBegan(Phase.TRIALS))  # of ranges of sizes, which tell no events
            with open_database(db) as database:
                found = optimize_parts(
                    split, target, request.budget, database, search, (view,), asked.began, interpreter
                )
        except KeyboardInterrupt:
            raise FlextuneError(kept(db, view, path)) from None
    if found.symbolic is not None:
        print_json(symbolic_facts(str(path), found.symbolic, db)) if as_json else print(
            symbolic_report(str(path), found.symbolic, db)
        )
        return
    names = [str(path)] if found.split.whole is not None else [part.model.name for part in found.split.parts.tuned]
    peaks = peaks_of(target, measure_missing=False)
    results = [
        model_result(name, partition, optimized, request.strategy, peaks, db)
        for name, partition, optimized in zip(names, found.split.parts.tuned, found.parts, strict=False)
    ]
    print_json(_facts(str(path), found, results)) if as_json else print(_whole_report(str(path), found, results))
    tasks = [task for part in found.parts for task in part.tasks.tasks]
    end_with(
        found.shipment is None,
        not tasks or any(math.isfinite(task.best_secs) for task in tasks),
        view,
        kept(db, view, path),
    )


def _facts(path: str, found: OptimizedSplit, results: Sequence[TuningResult]) -> dict[str, JsonValue]:
    """One model's figures; where it is split, those of each part of ours and who runs what."""
    parts: list[dict[str, JsonValue]] = []
    for result, optimized in zip(results, found.parts, strict=True):
        shown: list[JsonValue] = [task.to_dict() for task in optimized.tasks.tasks]
        parts.append({**result.to_dict(), "tasks": shown, "tuned_secs": result.best_secs})
    runtime: dict[str, JsonValue] = {
        "runtime": None if found.runtime is None else json.loads(found.runtime.to_json()),
        "shared": None if found.shared is None else [*found.shared.described()],
        "left_out": [*found.left_out],
    }
    if found.split.whole is not None:
        return {**parts[0], **runtime}
    return {
        "workload": path,
        "parts": [*found.split.described()],
        "own_parts": [*parts],
        **runtime,
    }


def _whole_report(path: str, found: OptimizedSplit, results: Sequence[TuningResult]) -> str:
    reports = [_report(result, optimized) for result, optimized in zip(results, found.parts, strict=True)]
    runtime = [] if found.runtime is None else [runtime_line(found.runtime)]
    if found.shared is not None:
        runtime += [f"  part {number}   {text}" for number, text in enumerate(found.shared.described())]
    runtime += [f"  left out {text}" for text in found.left_out]
    if found.split.whole is not None:
        return "\n".join([*reports, *runtime])
    parts = [f"  part {n}   {text}" for n, text in enumerate(found.split.described())]
    return "\n".join([path, *parts, *reports, *runtime])


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
    if optimized.is_cut:
        lines.append("  left out comparing builds to the end, for want of time: `compile` does so with these records")
    lines.append(
        f"  trials   {result.trials} ({result.failed} failed), {result.trials_per_sec:.1f} per second, "
        f"{result.elapsed_secs:.1f} s of tuning"
    )
    lines.append(f"  records  {result.db}")
    return "\n".join(lines)
