"""How much faster, and how sure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from flextune.quantities import seconds
from flextune.report.choices import choices
from flextune.report.comparison import how_sure
from flextune.report.html import Html, element, joined
from flextune.report.subject import Subject
from flextune.report.tables import copy_button, figure, folded, table
from flextune.report.task_history import TaskHistory
from flextune.trial.decision import Verdict
from flextune.trial.runtime_decision import RuntimeDecision


def outcome(subject: Subject) -> Html:
    """Models first, then every task, those that gained most on top."""
    return element(
        "section",
        element("h2", "How much faster, and how sure"),
        _models(subject),
        figure("speedup", "Times faster than the default schedule, for each task, with intervals"),
        _tasks(subject),
        id="outcome",
    )


def _models(subject: Subject) -> Html:
    verdicts = [each for each in subject.contents.decisions if isinstance(each, Verdict)]
    peers = [each for each in subject.contents.decisions if isinstance(each, RuntimeDecision)]
    parts: list[Html] = []
    if verdicts:
        headers = ("model", "before", "after", "times faster", "ships", "how sure")
        parts.append(table("Whole models, both builds timed in turns", headers, verdicts, _verdict_row))
    if peers:
        columns = ("model", "flextune", "peer", "the peer's time", "both together", "runs it", "how sure")
        parts.append(table("Beside other runtimes, timed in turns", columns, peers, _peer_row))
    return joined(*parts)


def _peer_row(decision: RuntimeDecision) -> Sequence[str]:
    own, theirs, both = seconds(decision.own_secs), _secs(decision.rival_secs), _secs(decision.both_secs)
    return decision.model, own, decision.rival, theirs, both, decision.chosen, decision.reason


def _verdict_row(verdict: Verdict) -> Sequence[str]:
    tuned = verdict.tuned_secs
    speedup = f"{verdict.default_secs / tuned:.2f}" if tuned else "-"
    failures = folded(f"{len(verdict.failures)} builds failed", *(element("p", each) for each in verdict.failures))
    details = (element("p", each) for each in verdict.details)
    sure = joined(verdict.reason, *details, *([failures] if verdict.failures else []))
    return verdict.model, seconds(verdict.default_secs), _secs(tuned), speedup, str(verdict.shipped), sure


def _tasks(subject: Subject) -> Html:
    tasks = sorted(subject.contents.tasks, key=lambda task: -(task.comparison.speedup or 0))
    if not tasks:
        return Html()
    headers = ("task", "before", "after", "times faster", "interval (95%)", "how sure", "schedule", "replay")
    return table("Tasks: the default schedule and the best one", headers, tasks, partial(_row, subject))


def _row(subject: Subject, task: TaskHistory) -> Sequence[str]:
    found = task.comparison
    interval = "-" if found.interval is None else f"{found.interval.low:.3g} to {found.interval.high:.3g}"
    best = found.best
    return (
        task.name,
        subject.value(task, found.before),
        subject.value(task, found.after or best),
        "-" if found.speedup is None else f"{found.speedup:.2f}",
        interval,
        how_sure(task.comparison, task.candidates),
        "-" if best is None else folded("show", choices(best)[:2000]),
        "-" if best is None else copy_button(subject.command(best)),
    )


def _secs(value: float | None) -> str:
    return "-" if value is None else seconds(value)
