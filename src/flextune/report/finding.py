"""What somebody asks for by a name: a model, a workload, or whatever has a key."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Generic, Protocol, TypeVar

from flextune.errors import UsageError
from flextune.trial.decision import Decision, GroupDecision
from flextune.trial.record import TuningRecord
from flextune.workload.parse import parse_workload
from flextune.workload.symbolic_workload import SymbolicWorkload

_LEAST_OF_A_KEY = 4


class RecordedTask(Protocol):
    """A workload on a target, of which there are records."""

    @property
    def name(self) -> str: ...

    @property
    def first(self) -> TuningRecord: ...

    @property
    def workload_key(self) -> str: ...

    @property
    def models(self) -> Collection[str]: ...

    def has_record(self, beginning: str) -> bool: ...


Task = TypeVar("Task", bound=RecordedTask)


@dataclass(frozen=True, slots=True)
class Found(Generic[Task]):
    """All that belongs to what was asked for."""

    model: str
    """Its name, if it is a model; empty otherwise."""
    tasks: tuple[Task, ...]
    decisions: tuple[Decision, ...]


def find(about: str, tasks: Sequence[Task], decisions: Sequence[Decision]) -> Found[Task] | None:
    """What a name, a file's name or a key stands for; None where it stands for nothing that is here."""
    return (
        _of_model(about, tasks, decisions)
        or _of_model(written_out(about) or "", tasks, decisions)
        or _of_task(about, tasks, decisions)
    )


def written_out(about: str) -> str | None:
    """The text of a workload with ranges of sizes as records have it, with all parameters; None for any other text."""
    if ".." not in about:
        return None
    try:
        return str(SymbolicWorkload.parse(about))
    except UsageError:
        return None


def of_model(name: str, tasks: Sequence[Task], decisions: Sequence[Decision]) -> Found[Task]:
    """Everything of the model with this name."""
    own = tuple(each for each in decisions if each.model == name)
    keys = {key for each in own for key in kernels_of(each)}
    return Found(name, tuple(task for task in tasks if task.workload_key in keys or name in task.models), own)


def kernels_of(decision: Decision) -> tuple[str, ...]:
    """Keys of the workloads that a decision was about."""
    if not isinstance(decision, GroupDecision):
        return ()
    return tuple(key for each in decision.alternatives for key in each.workloads)


def _of_model(about: str, tasks: Sequence[Task], decisions: Sequence[Decision]) -> Found[Task] | None:
    models = {each.model for each in decisions}.union(*(task.models for task in tasks))
    name = about if about in models else PurePath(about).stem
    return of_model(name, tasks, decisions) if name and name in models else None


def _of_task(about: str, tasks: Sequence[Task], decisions: Sequence[Decision]) -> Found[Task] | None:
    """A task, by its text, readable name or key, or the key of one of its records; or what has a decision's key."""
    found = _named(about, tasks) or _with_key(about.lower(), tasks)
    keys = {task.workload_key for task in found}
    own = tuple(each for each in decisions if each.key == about or keys & {each.key, *kernels_of(each)})
    if not found:
        wanted = {key for each in own for key in kernels_of(each)}
        found = [task for task in tasks if task.workload_key in wanted]
    return Found("", tuple(found), own) if found or own else None


def _named(about: str, tasks: Sequence[Task]) -> list[Task]:
    found = [task for task in tasks if about in (task.name, task.first.workload)]
    if found or (":" not in about and "." not in about):
        return found
    try:
        wanted = parse_workload(about)
    except UsageError:
        return []
    return [task for task in tasks if task.workload_key == wanted.key or task.first.workload == str(wanted)]


def _with_key(about: str, tasks: Sequence[Task]) -> list[Task]:
    if len(about) < _LEAST_OF_A_KEY:
        return []
    return [task for task in tasks if task.workload_key.startswith(about) or task.has_record(about)]
