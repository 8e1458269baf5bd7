"""How the search went."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from flextune.report.html import Html, element, joined
from flextune.report.importance import Importance
from flextune.report.limits import clipped
from flextune.report.subject import Subject, key_of
from flextune.report.tables import copy_button, figure, share, table
from flextune.report.task_history import Failure, TaskHistory

_VARIABLES = 4
"""Shown of each task."""
_LEAST_EXPLAINED = 0.01
_CAUSES = 40


def search(subject: Subject) -> Html:
    """Best so far over trials and seconds, failures, and which variables mattered."""
    tasks = sorted(subject.contents.tasks, key=lambda task: -len(task.points))
    if not tasks:
        return Html()
    return element(
        "section",
        element("h2", "How the search went"),
        _axis_choice(),
        figure("search", "The best time so far over the trials of each task"),
        _progress(subject, tasks),
        _failures(subject, tasks),
        _variables(tasks),
        id="search",
    )


def _axis_choice() -> Html:
    def choice(value: str, text: str, checked: bool) -> Html:
        return element("label", element("input", type="radio", name="axis", value=value, checked=checked), f" {text} ")

    return element(
        "fieldset",
        element("legend", "Over"),
        choice("trials", "trials", True),
        choice("secs", "seconds of trials", False),
        class_="screen",
    )


def _progress(subject: Subject, tasks: Sequence[TaskHistory]) -> Html:
    headers = ("task", "trials", "candidates", "failed", "best found at trial", "seconds of trials", "of the space")
    return table("Searches", headers, tasks, partial(_progress_row, subject))


def _progress_row(subject: Subject, task: TaskHistory) -> Sequence[str]:
    spent = task.points[-1].spent_secs if task.points else 0.0
    return (
        task.name,
        str(len(task.points)),
        str(task.candidates),
        str(task.failed),
        str(task.last_improved or "-"),
        f"{spent:.4g}",
        _seen(subject.spaces.get(key_of(task)), task.candidates),
    )


def _seen(size: int | None, candidates: int) -> str:
    """The share of the space that was tried. The default may lie outside of it."""
    if not size:
        return "-"
    return f"{min(1.0, candidates / size):.2g} of {size:,}"


def _failures(subject: Subject, tasks: Sequence[TaskHistory]) -> Html:
    found = sorted(((task, each) for task in tasks for each in task.failures), key=lambda pair: -pair[1].count)
    if not found:
        return element("p", "No candidate failed.")

    def cells(pair: tuple[TaskHistory, Failure]) -> Sequence[str]:
        task, each = pair
        copied = copy_button(subject.command(each.example), "copy the example's")
        return each.cause, str(each.count), task.name, copied

    left_out = sum(each.count for _, each in found[_CAUSES:])
    rest = element("p", f"{left_out} other failures.") if left_out else Html()
    return joined(table("Failures by cause", ("cause", "candidates", "task", "replay"), found[:_CAUSES], cells), rest)


def _variables(tasks: Sequence[TaskHistory]) -> Html:
    found = [
        (task, each) for task in tasks for each in task.importances[:_VARIABLES] if each.explained >= _LEAST_EXPLAINED
    ]
    if not found:
        return Html()

    def cells(pair: tuple[TaskHistory, Importance]) -> Sequence[str]:
        task, each = pair
        return clipped(each.variable, 80), share(each.explained), str(each.values), task.name

    note = (
        "The share of the variance of the logarithm of time that the values of one variable explain by themselves, "
        "corrected for their number, over the trials that ran. Trials follow the search, so this says what mattered "
        "among what was tried; shares of several variables may overlap."
    )
    headers = ("variable", "explains", "values tried", "task")
    return joined(table("Which variables mattered", headers, found, cells), element("p", note, class_="note"))
