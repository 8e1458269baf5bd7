"""A model of a captured graph to what is run in its place."""

from __future__ import annotations

from flextune.apply.build import compile_model
from flextune.apply.executable import Executable
from flextune.database.store import open_database
from flextune.importing.model import Model
from flextune.optimization.model import choice_of, optimize_model, recorded_schedules
from flextune.plan.options import group_options
from flextune.plan.partition import partition_model
from flextune.target.detect import detect
from flextune.torch_backend.options import BackendOptions
from flextune.tuning.budget import Budget
from flextune.tuning.options import TuneOptions


def build(model: Model, options: BackendOptions) -> Executable:
    """The model built with the best records there are, after tuning where that is asked for."""
    partition, target = partition_model(model), detect()
    if options.minutes:
        with open_database(str(options.database)) as database:
            tuned = optimize_model(partition, target, TuneOptions(Budget(minutes=options.minutes)), database)
        if tuned.build is not None:
            return tuned.build.executable
    if not options.database.exists():
        return compile_model(partition, {}, target).executable
    with open_database(str(options.database), must_exist=True) as database:
        switched = partition.switched(choice_of(group_options(partition), database, target))
        schedules = recorded_schedules(switched, database, target)
    return compile_model(switched, schedules, target).executable
