"""What a report is made from: the records and decisions of a database, or those of one model, workload or key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flextune.database.database import Database
from flextune.errors import UsageError
from flextune.report.finding import find
from flextune.report.task_history import TaskHistory, task_histories
from flextune.trial.decision import Decision


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
    return contents_about(about, database.name, tasks, decisions)


def contents_about(
    about: str | None, name: str, tasks: Sequence[TaskHistory], decisions: Sequence[Decision]
) -> Contents:
    """Of what was read from the database of this name; UsageError where nothing in it is what was asked for."""
    if about is None:
        return Contents(name, "", tuple(tasks), tuple(decisions))
    found = find(about, tasks, decisions)
    if found is None:
        raise UsageError(
            f"no records of {about!r} in {name}: neither a model, a workload nor a key there; `flextune show` "
            "and `flextune show --fusion` list what is recorded"
        )
    return Contents(name, about, found.tasks, found.decisions)
