"""`flextune show`: in short what the records hold, and in full what they say of one model or workload."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from flextune.cli.arguments import DatabasePath, Json
from flextune.cli.output import print_json
from flextune.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flextune.database.database import Database
    from flextune.database.overview import TaskOverview
    from flextune.report.finding import Found
    from flextune.trial.decision import Decision


def show(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL|WORKLOAD|KEY]", help="Only this model, workload, or what has this key (default: all)."
        ),
    ] = None,
    schedule: Annotated[bool, typer.Option("--schedule", help="Also print the best schedule as code.")] = False,
    fusion: Annotated[
        bool, typer.Option("--fusion", help="Print the decisions on models and their groups instead.")
    ] = False,
    db: DatabasePath = None,
    as_json: Json = False,
) -> None:
    """Print what was tuned and how sure that is; with a name all about it: the best record and failures by cause."""
    from flextune.cli.inputs import database_path
    from flextune.cli.show_decisions import show_decisions
    from flextune.database.store import open_database
    from flextune.trial.decision import Decision

    path = database_path(db)
    with open_database(path, must_exist=True) as database:
        decisions = database.decisions(Decision)
        if fusion:
            show_decisions(path, decisions, name, as_json, database)
        elif name is None:
            _show_all(path, database, decisions, schedule, as_json)
        else:
            _show_one(path, database, decisions, name, schedule, as_json)


def _show_all(path: str, database: Database, decisions: Sequence[Decision], schedule: bool, as_json: bool) -> None:
    from flextune.cli.show_decisions import OF_RANGES, decision_lines
    from flextune.cli.show_texts import in_short, models_of, task_text

    tasks = database.overviews(causes=as_json or schedule)
    models = models_of(tasks, decisions)
    ranges = [each for each in decisions if each.KIND == OF_RANGES]
    if as_json:
        _print_facts(path, models, tasks, ranges)
        return
    texts = [task_text(each, True) for each in tasks] if schedule else in_short(path, models, tasks)
    texts += ["\n".join(decision_lines(each)) for each in ranges]
    print("\n".join(texts) if texts else f"{path} holds no records")


def _show_one(
    path: str, database: Database, decisions: Sequence[Decision], name: str, schedule: bool, as_json: bool
) -> None:
    from flextune.cli.show_decisions import OF_RANGES, decision_lines, show_these
    from flextune.cli.show_texts import model_text, task_text

    found = _found(path, database, decisions, name)
    ranges = [each for each in found.decisions if each.KIND == OF_RANGES]
    if ranges and not found.tasks:
        show_these(path, ranges, as_json)
        return
    tasks = [_with_causes(database, each) for each in found.tasks]
    models = [found] if found.model else []
    if as_json:
        _print_facts(path, models, tasks, ranges)
        return
    texts = [model_text(each) for each in models]
    texts += [task_text(each, schedule) for each in tasks] if schedule or not models else []
    print("\n".join([*texts, *("\n".join(decision_lines(each)) for each in ranges)]))


def _print_facts(
    path: str, models: Sequence[Found[TaskOverview]], tasks: Sequence[TaskOverview], ranges: Sequence[Decision]
) -> None:
    from flextune.cli.show_decisions import facts
    from flextune.cli.show_texts import model_facts, task_facts

    print_json(
        {
            "db": path,
            "models": [model_facts(each) for each in models],
            "workloads": [task_facts(each) for each in tasks],
            "ranges": [facts(each) for each in ranges],
        }
    )


def _found(path: str, database: Database, decisions: Sequence[Decision], name: str) -> Found[TaskOverview]:
    """What the name stands for. UsageError where that is nothing."""
    from flextune.cli.replay import of_this
    from flextune.report.finding import Found, find, written_out

    tasks = database.overviews()
    found = find(name, tasks, decisions)
    if found is None and written_out(name) is None:
        named = of_this([task.first for task in tasks], name)
        keys = {record.workload_key for record in named}
        found = Found("", tuple(task for task in tasks if task.workload_key in keys), ())
    if found is None or (not found.tasks and not found.decisions):
        raise UsageError(f"no records of {name} in {path}; `flextune show` without a name lists what is there")
    return found


def _with_causes(database: Database, task: TaskOverview) -> TaskOverview:
    """The same task, with why its candidates failed."""
    if not task.failed:
        return task
    found = database.overviews(task.workload_key, task.first.target_key, causes=True)
    return next((each for each in found if each.first.scale == task.first.scale), task)
