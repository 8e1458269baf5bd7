"""Why: each decision with its measurements and its reason."""

from __future__ import annotations

from collections.abc import Sequence

from flextune.quantities import seconds
from flextune.report.html import Html, element
from flextune.report.limits import ROWS
from flextune.report.subject import Subject
from flextune.report.tables import folded, table
from flextune.trial.decision import Decision, Option


def decisions(subject: Subject) -> Html:
    """Those on whole models first; each opens to all that was chosen from."""
    found = sorted(subject.contents.decisions, key=lambda each: each.KIND == "group")
    if not found:
        return Html()
    names = {task.workload_key: task.name for task in subject.contents.tasks}
    parts = [_decision(each, names.get(each.key, each.subject)) for each in found[:ROWS]]
    left_out = len(found) - len(parts)
    more = element("p", f"and {left_out} more: `flextune show --fusion` prints them") if left_out else Html()
    return element("section", element("h2", "Why: what was decided"), *parts, more, id="decisions")


def _decision(decision: Decision, name: str) -> Html:
    reason = element("p", f"{decision.reason} ({decision.model}, {decision.created})")
    options = table("Options", ("option", "predicted", "measured"), decision.options[:40], _option_row)
    details = (element("p", each) for each in decision.details)
    return folded(f"{name}: {decision.answer}", reason, *details, options)


def _option_row(option: Option) -> Sequence[str]:
    return option.name, _secs(option.predicted_secs), _secs(option.measured_secs)


def _secs(value: float | None) -> str:
    return "-" if value is None else seconds(value)
