"""Whether a cost model learns from other shapes: its ranking of a shape that was left out, with and without them.

    python -m benchmarks.transfer --db records.db --make              # measures the shapes first, about five minutes
    python -m benchmarks.transfer --db records.db --models trees,gp --json transfer.json

Each recorded workload in turn is left out. A model that starts from nothing, from the other shapes of the same
operator, from other operators only, or from both, is told 0, 16, 32, ... of its own measurements, drawn at random, and
ranks the rest: by Spearman's rank correlation, and by how far the fastest of the eight ranked highest is behind the
fastest there is. A measurement that fails is the slowest.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from flextune.cost.cost_model_registry import create_cost_model
from flextune.cost.pretrained import PretrainedModel, TaskRecords, pretrain
from flextune.cost.quality import best_of_top, rank_correlation
from flextune.database.database import Database
from flextune.database.store import open_database
from flextune.errors import UsageError
from flextune.measure.measure_options import MeasureOptions
from flextune.target.detect import detect
from flextune.target.target import Target
from flextune.trial.measurement import Measurement, Status
from flextune.tuning.budget import Budget
from flextune.tuning.loop import tune_workload
from flextune.tuning.pretraining import recorded_tasks
from flextune.tuning.tune_options import TuneOptions
from flextune.workload.parse import parse_workload

SHAPES = (
    "gemm:m=512,n=512,k=512",
    "gemm:m=128,n=1024,k=256",
    "gemm:m=1024,n=256,k=384",
    "gemm:m=196,n=512,k=768",
    "gemm:m=64,n=2048,k=512",
    "gemm:m=384,n=768,k=768",
    "conv2d:n=1,h=28,w=28,ci=64,co=128,kh=3,kw=3,pad=1",
    "conv2d:n=1,h=56,w=56,ci=64,co=64,kh=3,kw=3,pad=1",
    "conv2d:n=1,h=14,w=14,ci=256,co=256,kh=3,kw=3,pad=1",
)
"""What `--make` measures."""

NOTHING, SAME, OTHERS, BOTH = "nothing", "other shapes", "other operators", "both"
STARTS = (NOTHING, SAME, OTHERS, BOTH)

_TOP = 8
_LEAST_RANKED = 32
"""A workload takes part if so many of its records are left to rank after the most that are told."""


@dataclass(frozen=True, slots=True)
class Row:
    """Means over the workloads and draws; `regret` is 1 less the relative throughput of the best of the top."""

    model: str
    start: str
    told: int
    workloads: int
    correlation: float
    regret: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What is compared: after how many own measurements, over how many random draws of them."""

    models: tuple[str, ...] = ("trees",)
    told: tuple[int, ...] = (0, 16, 32, 64)
    draws: int = 5
    loss: str = "regression"


def make_records(database: Database, target: Target, trials: int, shapes: Sequence[str] = SHAPES) -> None:
    """Measures random candidates of every shape, one after the other, until `trials` of each are recorded."""
    measure = MeasureOptions(workers=1)
    for shape in shapes:
        budget = Budget(trials=trials)
        options = TuneOptions(budget, "random", "none", finalists=1, final_rounds=1, measure=measure)
        result = tune_workload(parse_workload(shape), target, options, database)
        print(f"{shape}: {result.trials} trials, {result.failed} failed", flush=True)


def compared(tasks: Sequence[TaskRecords], plan: Plan) -> Iterator[Row]:
    """All models and starts, each over all the tasks that have enough records and something to start from."""
    least = max(plan.told) + _LEAST_RANKED
    useful = [task for task in tasks if len(task.secs) >= least and np.isfinite(task.secs).any()]
    if not useful:
        raise UsageError(f"expected a workload with at least {least} records; --make measures some")
    for start in STARTS:
        started = {id(task): _start(task, tasks, start, plan.loss) for task in useful}
        ranked = [task for task in useful if start == NOTHING or started[id(task)] is not None]
        for model in plan.models if ranked else ():
            for told in plan.told:
                found = [
                    _quality(model, task, started[id(task)], told, draw)
                    for task in ranked
                    for draw in range(plan.draws if told else 1)
                ]
                if start == NOTHING and not told:
                    continue
                correlation, regret = (statistics.fmean(each) for each in zip(*found, strict=True))
                yield Row(model, start, told, len(ranked), correlation, regret)


def _start(task: TaskRecords, tasks: Sequence[TaskRecords], start: str, loss: str) -> PretrainedModel | None:
    """A model of the other tasks that this start is about; None where there are none."""
    kinds = {SAME: (True,), OTHERS: (False,), BOTH: (True, False)}.get(start, ())
    others = [other for other in tasks if other is not task and (other.task.operator == task.task.operator) in kinds]
    return pretrain(others, "recorded", loss) if others else None


def _quality(model: str, task: TaskRecords, start: PretrainedModel | None, told: int, draw: int) -> tuple[float, float]:
    """Correlation and regret on what a model is not told of the task."""
    order = np.random.default_rng(draw).permutation(len(task.secs))
    learned = create_cost_model(model, task.names, draw, task=task.task, pretrained=start)
    assert learned is not None
    learned.update([_measurement(task, int(index)) for index in order[:told]])
    scores = learned.predict(task.assignments.take(order[told:]))
    speed = 1 / task.secs[order[told:]]
    return rank_correlation(scores, speed), 1 - best_of_top(scores, speed, _TOP)


def _measurement(task: TaskRecords, index: int) -> Measurement:
    secs = float(task.secs[index])
    assignment = task.assignments[index]
    return (
        Measurement(assignment, Status.OK, (secs,)) if np.isfinite(secs) else Measurement(assignment, Status.RUN_ERROR)
    )


def table(rows: Sequence[Row]) -> str:
    """Markdown: one line per model and start, rank correlation and regret by own measurements."""
    told = sorted({row.told for row in rows})
    lines = [
        "| model | learned before from | " + " | ".join(f"{count} own" for count in told) + " |",
        "|---" * (2 + len(told)) + "|",
    ]
    models = list(dict.fromkeys(row.model for row in rows))
    lists = sorted({(row.model, row.start) for row in rows}, key=lambda of: (models.index(of[0]), STARTS.index(of[1])))
    for model, start in lists:
        cells = {row.told: row for row in rows if (row.model, row.start) == (model, start)}
        shown = [f"{cells[n].correlation:.2f} ({cells[n].regret:.1%})" if n in cells else "–" for n in told]
        lines.append(f"| {model} | {start} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transfer", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--db", type=Path, required=True, help="records file; --make adds to it")
    parser.add_argument("--make", action="store_true", help="measure random candidates of the shapes first")
    parser.add_argument("--trials", type=int, default=128, help="candidates of each shape that --make measures")
    parser.add_argument("--target", help="target whose records count (default: this machine)")
    parser.add_argument("--models", default="trees", help="cost models, with commas between them")
    parser.add_argument("--told", default="0,16,32,64", help="numbers of own measurements")
    parser.add_argument("--draws", type=int, default=5, help="random draws of own measurements")
    parser.add_argument("--loss", default="regression", help="what the earlier model learned: regression or ranking")
    parser.add_argument("--json", type=Path, help="also write the rows there")
    given = parser.parse_args(arguments)
    target = Target.parse(given.target) if given.target else detect()
    plan = Plan(tuple(given.models.split(",")), tuple(map(int, given.told.split(","))), given.draws, given.loss)
    with open_database(given.db, must_exist=not given.make) as database:
        if given.make:
            make_records(database, target, given.trials)
        tasks = recorded_tasks(database.records(), target).tasks
    rows = list(compared(tasks, plan))
    print(table(rows))
    if given.json:
        given.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
