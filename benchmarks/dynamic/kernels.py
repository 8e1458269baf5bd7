"""Kernels with symbolic sizes at sizes that the tuner never saw, beside the best schedule for each of these alone.

CINN's rule chooses from the same schedules, for windows of sizes, to compare.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np

from benchmarks.dynamic.turns import mean
from flextune.target.detect import detect
from flextune.target.target import Target
from flextune.trial.variants_decision import Point, VariantsDecision
from flextune.tuning.variants.candidates import static_schedules
from flextune.tuning.variants.points import Grid, Sample, random_points
from flextune.tuning.variants.selection import Dispatch
from flextune.tuning.variants.study import TUNING, Study
from flextune.tuning.variants.tuned import Group, tune_group
from flextune.tuning.variants.workload_group import group_of_workload
from flextune.workload.dim import Dim
from flextune.workload.symbolic_workload import SymbolicWorkload

WORKLOADS = (
    "gemm:m=1..512,n=768,k=768",
    "conv2d:n=1..4,h=7..56,w=7..56,ci=64,co=64,kh=3,kw=3,pad=1",
    "layer_norm:rows=1..4096,cols=768",
    "softmax:rows=1..4096,cols=512",
)

Row = dict[str, object]


def measured(workloads: Sequence[str], sizes: int, trials: int, minutes: float) -> Iterator[Row]:
    """A row for each workload; each is tuned for so many minutes and looked at for about as long."""
    for text in workloads:
        yield _row(SymbolicWorkload.parse(text), detect(), sizes, trials, 60 * minutes)


def _row(workload: SymbolicWorkload, target: Target, sizes: int, trials: int, secs: float) -> Row:
    group = group_of_workload(workload)
    decision = tune_group(group, target, TUNING, time.perf_counter() + secs)
    unseen = dict.fromkeys(random_points(workload.dims, sizes, np.random.default_rng(40)))
    grid = Grid.of_windows(workload.dims)
    sample = Sample(grid.names, grid.points, grid.weights)
    points: list[Row] = []
    with Study(group.function, group.constants, target, sample, TUNING) as study:
        study.add([decision.candidates[number].variant for number in decision.chosen])
        windows = _windows(study, grid, len(decision.chosen))
        ends = time.perf_counter() + secs
        for point in unseen:
            if time.perf_counter() < ends:
                row = _at(point, workload.dims, group, decision, study, windows, target, trials)
                points += [] if row is None else [row]
    regrets = [float(str(each["regret"])) for each in points]
    by_windows = [float(str(each["windows_regret"])) for each in points]
    return {
        "workload": str(workload),
        "variants": len(decision.chosen),
        "candidates": len(decision.candidates),
        "measurements": sum(len(each.secs) for each in decision.candidates),
        "sizes": points,
        "mean": mean(regrets),
        "worst": max(regrets, default=None),
        "windows_mean": mean(by_windows),
        "windows_worst": max(by_windows, default=None),
    }


def _windows(study: Study, grid: Grid, variants: int) -> Dispatch:
    """What CINN would choose: measured at the ends of its windows."""
    secs = np.array([[study.secs_at(number, point) for point in grid.points] for number in range(variants)])
    return Dispatch.by_windows(grid, secs)


def _at(
    point: Point,
    dims: Sequence[Dim],
    group: Group,
    decision: VariantsDecision,
    study: Study,
    windows: Dispatch,
    target: Target,
    trials: int,
) -> Row | None:
    """None where no schedule for this point alone runs."""
    chosen = decision.chosen.index(decision.at(point))
    theirs = windows({dim.name: size for dim, size in zip(dims, point, strict=True)})
    before = study.secs_at(chosen, point)
    schedules = static_schedules(group.function, group.constants, group.sizes(point), target)
    static = min((study.static_secs(each, point) for each in islice(schedules, trials)), default=math.inf)
    if not math.isfinite(static):
        return None
    own = min(before, study.secs_at(chosen, point, again=True))
    return {
        "point": list(point),
        "secs": own,
        "static_secs": static,
        "regret": own / static,
        "windows_regret": (own if theirs == chosen else study.secs_at(theirs, point)) / static,
    }
