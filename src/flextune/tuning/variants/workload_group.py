"""A workload with ranges of sizes as a group to tune."""

from __future__ import annotations

import numpy as np

from flextune.tuning.variants.points import Grid, Sample, random_points
from flextune.tuning.variants.tuned import Group
from flextune.workload.symbolic_workload import SymbolicWorkload

POINTS = 10
CHECKED = 4
"""Sizes to measure at, and other ones to check the choice at."""


def group_of_workload(workload: SymbolicWorkload, seed: int = 0) -> Group:
    """UsageError for an operator that is not written for symbolic sizes."""
    dims = workload.dims
    grid = Grid.by_weight(dims, POINTS)
    some = [(point, float(weight)) for point, weight in zip(grid.points, grid.weights, strict=True) if all(point)]
    others = dict.fromkeys(random_points(dims, CHECKED, np.random.default_rng(seed)))
    return Group(
        str(workload),
        workload.prim_func().with_attr("global_symbol", "main"),
        workload.bind({dim.name: dim.sizes[-1] for dim in dims}).constants,
        grid.names,
        tuple((dim.sizes[0], dim.sizes[-1]) for dim in dims),
        Sample.of(grid.names, some),
        tuple(point for point in others if all(point)),
    )
