"""What a report is made from: the records and decisions of a database, or those of one model, workload or key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from flextune.database.database import Database
from flextune.errors import UsageError
from flextune.report.task_history import TaskHistory, task_histories
from flextune.trial.decision import Decision, GroupDecision
from flextune.workload.parse import parse_workload

_LEAST_OF_A_KEY = 4


@dataclass(frozen=True, slots=True)
class Contents:
    """As they were read."""

    database: str
    """Its name, as `--db` takes it."""
    about: str
    """What was asked for; empty for all of it."""
    tasks: tuple[TaskHistory, ...]
    decisions: tuple[Decision, ...]

    @property
    def trials(self) -> int:
        return sum(len(task.points) for task in self.tasks)


def read_contents(database: Database, about: str | None = None) -> Contents:
    """What the database holds `about` a model, a workload or a key (None: all). UsageError where that is nothing."""
    tasks, decisions = task_histories(database.records()), database.decisions(Decision)
    if not tasks and not decisions:
        raise UsageError(f"{database.name} holds no records yet; `flextune tune` makes and records them")
    if about is None:
        return Contents(database.name, "", tuple(tasks), tuple(decisions))
    chosen = _of_model(about, tasks, decisions) or _of_task(about, tasks, decisions)
    if chosen is None:
        raise UsageError(
            f"no records of {about!r} in {database.name}: neither a model, a workload nor a key there; `flextune show` "
            "and `flextune show --fusion` list what is recorded"
        )
    return Contents(database.name, about, *chosen)


_Chosen = tuple[tuple[TaskHistory, ...], tuple[Decision, ...]]


def _of_model(about: str, tasks: Sequence[TaskHistory], decisions: Sequence[Decision]) -> _Chosen | None:
    """Everything of a model, by its name or its file's."""
    models = {each.model for each in decisions} | {record.model for task in tasks for record in task.records}
    name = about if about in models else PurePath(about).stem
    if not name or name not in models:
        return None
    own = tuple(each for each in decisions if each.model == name)
    keys = {key for each in own for key in _kernels(each)}
    of_model = (
        task for task in tasks if task.workload_key in keys or any(record.model == name for record in task.records)
    )
    return tuple(of_model), own


def _of_task(about: str, tasks: Sequence[TaskHistory], decisions: Sequence[Decision]) -> _Chosen | None:
    """A task, by its text, readable name or key, or the key of one of its records; or what has a decision's key."""
    found = _named(about, tasks) or _with_key(about.lower(), tasks)
    keys = {task.workload_key for task in found}
    own = tuple(each for each in decisions if each.key == about or keys & {each.key, *_kernels(each)})
    if not found:
        wanted = {key for each in own for key in _kernels(each)}
        found = [task for task in tasks if task.workload_key in wanted]
    return (tuple(found), own) if found or own else None


def _kernels(decision: Decision) -> tuple[str, ...]:
    """Keys of the workloads that a decision was about."""
    if not isinstance(decision, GroupDecision):
        return ()
    return tuple(key for each in decision.alternatives for key in each.workloads)


def _named(about: str, tasks: Sequence[TaskHistory]) -> list[TaskHistory]:
    found = [task for task in tasks if about in (task.name, task.first.workload)]
    if found or (":" not in about and "." not in about):
        return found
    try:
        wanted = parse_workload(about)
    except UsageError:
        return []
    return [task for task in tasks if task.workload_key == wanted.key or task.first.workload == str(wanted)]


def _with_key(about: str, tasks: Sequence[TaskHistory]) -> list[TaskHistory]:
    if len(about) < _LEAST_OF_A_KEY:
        return []
    return [
        task
        for task in tasks
        if task.workload_key.startswith(about) or any(record.key.startswith(about) for record in task.records)
    ]
