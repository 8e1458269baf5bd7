"""From tuning records to what a cost model can be pretrained on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from flextune.cost.pretrained import TaskRecords
from flextune.csp.assignment import Assignments
from flextune.errors import FlextuneError
from flextune.platforms import platform_registry
from flextune.target.kinds import scale_of
from flextune.target.target import Target
from flextune.trial.record import TuningRecord
from flextune.tuning.description import describe_task
from flextune.workload.parse import parse_workload


@dataclass(frozen=True, slots=True)
class RecordedTasks:
    """What there is to learn from: tasks, and how many records were left out because they belong to none."""

    tasks: tuple[TaskRecords, ...]
    left_out: int


def recorded_tasks(records: Iterable[TuningRecord], target: Target) -> RecordedTasks:
    """The records of tensor programs on this target, by task; of several records of one candidate the last counts.

    Records of other targets, of objectives, of other units or origins than the target's runner has, and of workloads
    that this version does not know are left out.
    """
    groups: dict[tuple[str, str], list[TuningRecord]] = {}
    left_out, scale = 0, scale_of(target)
    for record in records:
        if record.target_key != target.key or record.of_objective or record.scale != scale:
            left_out += 1
        else:
            groups.setdefault((record.workload_key, record.trace), []).append(record)
    tasks = []
    for group in groups.values():
        task = _task(group, target)
        if task is None:
            left_out += len(group)
        else:
            tasks.append(task)
    return RecordedTasks(tuple(tasks), left_out)


def _task(records: Sequence[TuningRecord], target: Target) -> TaskRecords | None:
    """The task of records of one workload and trace; None where there is nothing to describe or to choose."""
    latest = {record.measurement.assignment: record.secs for record in records}
    names = tuple(next(iter(latest)))
    same = {assignment: secs for assignment, secs in latest.items() if set(assignment) == set(names)}
    try:
        workload = parse_workload(records[0].workload, records[0].body)
        space = platform_registry.get(target.kind).search_space(workload, target)
    except FlextuneError:
        return None
    if not names or not space.tunable:
        return None
    return TaskRecords(describe_task(space), names, Assignments.of(list(same), names), np.array(list(same.values())))
