"""A model of a captured graph to what is run in its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flextune.apply.executable import Executable
from flextune.importing.model import Model
from flextune.interface import optimize_partition
from flextune.lowering.symbolic_shapes import generic_sizes
from flextune.plan.partition import partition_model
from flextune.target.detect import detect
from flextune.torch_backend.backend_options import BackendOptions
from flextune.tuning.budget import Budget


def build(model: Model, options: BackendOptions, examples: Mapping[str, Any]) -> Executable:
    """The model built with the best records there are, after tuning where that is asked for.

    One with ranges of sizes gets default schedules, planned near the sizes of the examples, which are inputs by name.
    """
    budget = Budget(minutes=options.minutes) if options.minutes and not model.dims else None
    database = options.database if budget or options.database.exists else None
    partition = partition_model(model, sizes=_plan_sizes(model, examples) if model.dims else None)
    found = optimize_partition(partition, detect(), budget, database)
    if found.shipment is None:
        raise KeyboardInterrupt
    return found.shipment.build.executable


def _plan_sizes(model: Model, examples: Mapping[str, Any]) -> dict[str, int]:
    """A size of each dimension to make plans at."""
    near: dict[str, tuple[int, int]] = {dim.name: (dim.lo, dim.hi) for dim in model.dims}
    for spec in model.inputs:
        for expected, size in zip(spec.axis_sizes, examples[spec.name].shape, strict=True):
            if not isinstance(expected, int) and expected.name in near:
                near[expected.name] = (size, size)
    return generic_sizes(near, multiples={dim.name: dim.multiple for dim in model.dims})
