"""The groups of a model with ranges of sizes, and what the records say of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from tvm import tirx

from flextune.analysis.sizes_of_shapes import size_of
from flextune.apply.build import Variants
from flextune.database.database import Database
from flextune.lowering.calls import CallSite, argument_types, call_sites
from flextune.lowering.symbolic_shapes import kernel_sizes
from flextune.plan.partition import ModelTask, Partition
from flextune.target.target import Target
from flextune.trial.variants_decision import VariantsDecision
from flextune.tuning.variants.group_key import group_key
from flextune.tuning.variants.points import Grid, Sample, random_points
from flextune.tuning.variants.tuned import Group
from flextune.workload.dim_expr import DimExpr

POINTS = 10
"""Combinations of the model's sizes that groups are measured at, about."""

CHECKED = 3
"""Other combinations, at which the choice is checked."""


@dataclass(frozen=True, slots=True, eq=False)
class SymbolicTask:
    """A task of a model, with what its symbols are there."""

    task: ModelTask
    site: CallSite
    """One of its calls."""
    sizes: Mapping[str, DimExpr]
    """Its symbols over the dimensions of the model."""

    def ranges(self, partition: Partition) -> dict[str, tuple[int, int]]:
        """The least and the largest size of each symbol."""
        dims = {dim.name: dim for dim in partition.model.dims}
        return {name: size.bounds(dims) for name, size in self.sizes.items()}


def symbolic_tasks(partition: Partition) -> list[SymbolicTask]:
    """The tasks with symbols, those with most arithmetic first."""
    sites = {site.function: site for site in call_sites(partition.module)}
    found = []
    for task in partition.tasks:
        if task.sizes:
            site = sites[task.name]
            found.append(SymbolicTask(task, site, _meanings(partition, task, site)))
    return found


def group_of(partition: Partition, each: SymbolicTask, seed: int = 0) -> Group:
    """The task as something to tune: measured at what the model's sizes, spread by weight, make of its own.

    The `seed` draws the sizes that the choice is checked at.
    """
    dims = partition.model.dims
    names = tuple(each.sizes)

    def own(point: Sequence[int]) -> tuple[int, ...]:
        sizes = dict(zip((dim.name for dim in dims), point, strict=True))
        return tuple(size.bind(sizes) for size in each.sizes.values())

    grid = Grid.by_weight(dims, POINTS)
    weighted = [(own(point), float(weight)) for point, weight in zip(grid.points, grid.weights, strict=True)]
    some = [(point, weight) for point, weight in weighted if all(point)]  # what is empty takes no time
    others = dict.fromkeys(own(point) for point in random_points(dims, CHECKED, np.random.default_rng(seed)))
    task = each.task
    return Group(
        task.name,
        partition.module[task.name].with_attr("global_symbol", "main"),
        task.workload.constants,
        tuple(map(str, each.sizes.values())),
        tuple(each.ranges(partition).values()),
        Sample.of(names, some or weighted),
        tuple(point for point in others if all(point)),
        partition.model.name,
    )


def recorded_variants(
    partition: Partition, database: Database, target: Target
) -> tuple[dict[str, Variants], dict[str, str]]:
    """What the records chose for each task, by its name, and why it is not followed for those where it is not."""
    chosen: dict[str, Variants] = {}
    reasons: dict[str, str] = {}
    for each in symbolic_tasks(partition):
        found = recorded_decision(partition, each, database, target)
        if isinstance(found, VariantsDecision):
            chosen[each.task.name] = found.kernels
        elif found:
            reasons[each.task.name] = found
    return chosen, reasons


def recorded_decision(
    partition: Partition, each: SymbolicTask, database: Database, target: Target
) -> VariantsDecision | str:
    """What was decided on a task, for ranges that hold all of its own; else why there is none, in words."""
    function = partition.module[each.task.name].with_attr("global_symbol", "main")
    key = group_key(function, each.task.workload.constants)
    found = database.decision(VariantsDecision, target.key, key)
    if found is None:
        return ""
    renamed, ranges = found.renamed(tuple(each.sizes)), each.ranges(partition)
    if renamed is None or not renamed.covers(ranges):
        recorded = ", ".join(f"{low}..{high}" for low, high in found.ranges)
        wanted = ", ".join(f"{low}..{high}" for low, high in ranges.values())
        return f"records are of other ranges: {recorded}, and it has {wanted}"
    return renamed


def _meanings(partition: Partition, task: ModelTask, site: CallSite) -> dict[str, DimExpr]:
    """What the symbols of a task's function are over the dimensions of the model, by one of its calls."""
    variables = {
        extent: DimExpr.of(str(extent.name))
        for parameter in partition.module["main"].params
        for extent in getattr(parameter.ty, "shape", ())
        if isinstance(extent, tirx.Var)
    }
    function = partition.module[task.name]
    found: dict[str, DimExpr] = {}
    for parameter, kind in zip(function.params, argument_types(site), strict=False):
        for extent, given in zip(getattr(parameter.ty, "shape", ()), kind.shape, strict=True):
            if isinstance(extent, tirx.Var) and (size := size_of(given, variables)) is not None:
                found.setdefault(str(extent.name), DimExpr.of(size))
    return {name: found[name] for name in kernel_sizes(function, site, partition.sizes)}
