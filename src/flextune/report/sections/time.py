"""Where the time goes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from flextune.report.html import Html, element, joined
from flextune.report.subject import Subject, TaskKey, key_of
from flextune.report.tables import figure, share, table
from flextune.report.task_history import TaskHistory
from flextune.trial.decision import GroupDecision, LayoutDecision


@dataclass(frozen=True, slots=True)
class _Totals:
    """What all rows refer to."""

    before_secs: float
    after_secs: float
    groups: Mapping[TaskKey, GroupDecision]


def time_shares(subject: Subject) -> Html:
    """Kernels by their share of the time, before and after."""
    kernels = [task for task in subject.kernels() if math.isfinite(task.best_secs)]
    if not kernels:
        return Html()
    kernels.sort(key=lambda task: -task.best_secs)
    total = sum(task.best_secs for task in kernels)
    total_before = sum(_before_secs(task) for task in kernels)
    shares = _Totals(total_before, total, subject.group_of)
    headers = ("kernel", "share before", "share after", "best", "of the bound", "limited by", "compiled as")
    return element(
        "section",
        element("h2", "Where the time goes"),
        element(
            "p",
            "Each kernel counts once: records do not say how often a model calls it. Before is the time of the best "
            "one times how much faster it became; where that is not known, a kernel counts as it is now.",
            class_="note",
        ),
        figure("time", "Seconds of each kernel, before and after"),
        table("Kernels by share of the time", headers, kernels, partial(_row, subject, shares)),
        _layouts(subject),
        _without_bound(subject),
        id="time",
    )


def _before_secs(task: TaskHistory) -> float:
    """Where it is not known what the default takes, it counts like the best."""
    return task.best_secs if task.before_secs is None else task.before_secs


def _row(subject: Subject, totals: _Totals, task: TaskHistory) -> Sequence[str]:
    bound, group = subject.bounds.of(task), totals.groups.get(key_of(task))
    return (
        task.name,
        share(_before_secs(task) / totals.before_secs),
        share(task.best_secs / totals.after_secs),
        subject.value(task, task.comparison.best),
        "-" if bound is None else share(bound.share),
        "-" if bound is None else f"{bound.bound.limited_by} ({bound.bound.fits})",
        "-" if group is None else f"{group.answer}, {group.pattern}",
    )


def _layouts(subject: Subject) -> Html:
    found = [each for each in subject.contents.decisions if isinstance(each, LayoutDecision)]
    return joined(*(element("p", f"Layouts of {each.model}: {each.answer}") for each in found[:20]))


def _without_bound(subject: Subject) -> Html:
    reasons = [f"{count} without a bound: {reason}." for reason, count in subject.bounds.unknown]
    return joined(*(element("p", reason, class_="note") for reason in reasons[:8]))
