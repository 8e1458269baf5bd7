"""What to do next."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from functools import partial

from flextune.quantities import seconds
from flextune.report.html import Html, element
from flextune.report.subject import Subject
from flextune.report.tables import copy_button, figure, table
from flextune.report.task_history import TaskHistory


def roofline_section(subject: Subject) -> Html:
    """Each kernel below what the machine reaches."""
    if not subject.bounds.known:
        return Html()
    return element(
        "section",
        element("h2", "Roofline"),
        figure(
            "roofline", "Operations a second of each kernel over its operations per byte, below the machine's peaks"
        ),
        id="roofline",
    )


def next_steps(subject: Subject) -> Html:
    """Tasks with most left to gain on top."""
    kernels = [task for task in subject.kernels() if task.points]
    if not kernels:
        return Html()
    kernels.sort(key=lambda task: -_left_secs(subject, task))
    headers = ("task", "left to the bound", "best", "more minutes?", "command")
    return element(
        "section",
        element("h2", "What to do next"),
        table("Tasks with most left to gain", headers, kernels, partial(_row, subject)),
        id="next",
    )


def _left_secs(subject: Subject, task: TaskHistory) -> float:
    """Without a bound, all of its time may be left, after those whose bound is known."""
    bound = subject.bounds.of(task)
    if bound is not None:
        return 1 + bound.left_secs
    return task.best_secs if math.isfinite(task.best_secs) else math.inf


def _row(subject: Subject, task: TaskHistory) -> Sequence[str]:
    bound, database = subject.bounds.of(task), shlex.quote(subject.contents.database)
    known = task.first.body is None
    command = f"flextune tune {shlex.quote(task.first.workload)} --db {database}"
    return (
        task.name,
        "-" if bound is None else seconds(bound.left_secs),
        subject.value(task, task.comparison.best),
        advice(task),
        copy_button(command, "copy: tune on") if known else "tune the model again",
    )


def advice(task: TaskHistory) -> str:
    """Whether more minutes would pay, by how the search went."""
    trials = len(task.points)
    if not math.isfinite(task.best_secs):
        return f"nothing ran in {trials} trials: see its failures"
    if task.candidates == 1:
        return "only the default was tried"
    since = trials - task.last_improved
    if task.still_improves:
        return f"likely: its best came at trial {task.last_improved} of {trials}"
    return f"less likely: no better one in the last {since} of {trials} trials"
