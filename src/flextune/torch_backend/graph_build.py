"""A model of a captured graph to what is run in its place."""

from __future__ import annotations

from flextune.apply.executable import Executable
from flextune.importing.model import Model
from flextune.interface import optimize_partition
from flextune.plan.partition import partition_model
from flextune.target.detect import detect
from flextune.torch_backend.backend_options import BackendOptions
from flextune.tuning.budget import Budget


def build(model: Model, options: BackendOptions) -> Executable:
    """The model built with the best records there are, after tuning where that is asked for."""
    budget = Budget(minutes=options.minutes) if options.minutes else None
    database = options.database if budget or options.database.exists() else None
    found = optimize_partition(partition_model(model), detect(), budget, database)
    if found.shipment is None:
        raise KeyboardInterrupt
    return found.shipment.build.executable
