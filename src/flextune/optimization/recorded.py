"""What the records say about a model: its layouts, what its groups are made of, and the schedules of its kernels."""

from __future__ import annotations

from collections.abc import Sequence

from flextune.apply.build import Schedule
from flextune.database.database import Database
from flextune.optimization.layouts import recorded_layouts
from flextune.plan.alternative import Alternative
from flextune.plan.group_kernels import GroupKernels, group_kernels
from flextune.plan.layouts.layout_assignment import ALL_NHWC
from flextune.plan.partition import Partition
from flextune.schedule.trace import Trace
from flextune.target.target import Target
from flextune.trial.decision import GroupDecision
from flextune.trial.evidence import best_record


def choice_of(groups: Sequence[GroupKernels], database: Database, target: Target) -> dict[str, Alternative]:
    """What the records decided for each kind of group; nothing where they say nothing, which is the default."""
    decided = {decision.key: decision.chosen for decision in database.decisions(GroupDecision, target.key)}
    return {group.kind: decided[group.key] for group in groups if decided.get(group.key) in group.kernels}


def recorded_schedules(partition: Partition, database: Database, target: Target) -> dict[str, Schedule]:
    """The best recorded schedule of each task that has one, by workload key."""
    keys = [task.workload.key for task in partition.tasks]
    found = {key: best_record(database.records(key, target.key)) for key in keys}
    return {
        key: (Trace.from_json(record.trace), record.assigned) for key, record in found.items() if record is not None
    }


def from_records(partition: Partition, database: Database, target: Target) -> tuple[Partition, dict[str, Schedule]]:
    """The model as the records decided on its layouts and groups, and the best recorded schedules of its tasks."""
    laid_out = partition.laid_out(recorded_layouts(partition, database, target) or ALL_NHWC)
    decided = laid_out.switched(choice_of(group_kernels(laid_out), database, target))
    return decided, recorded_schedules(decided, database, target)
