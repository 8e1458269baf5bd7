"""How many schedules the space of a task has."""

from __future__ import annotations

from collections.abc import Sequence

from flextune.errors import FlextuneError
from flextune.platforms import platform_registry
from flextune.report.subject import TaskKey, key_of
from flextune.report.task_history import TaskHistory
from flextune.target.target import Target
from flextune.workload.parse import parse_workload


def space_sizes(tasks: Sequence[TaskHistory]) -> dict[TaskKey, int]:
    """Of the spaces as this version makes them; those that cannot be made, as of an objective, are missing."""
    sizes: dict[TaskKey, int] = {}
    for task in tasks:
        if task.of_objective:
            continue
        try:
            target = Target.parse(task.first.target)
            workload = parse_workload(task.first.workload, task.first.body)
            sizes[key_of(task)] = platform_registry.get(target.kind).search_space(workload, target).solutions.count
        except FlextuneError:
            continue
    return sizes
