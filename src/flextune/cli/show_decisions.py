"""`flextune show --fusion`: what was decided about models and their groups, in short and in full."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence

from flextune.cli.output import JsonValue, print_json, seconds, table
from flextune.database.database import Database
from flextune.errors import UsageError
from flextune.printable import printable
from flextune.report.finding import written_out
from flextune.trial.decision import Decision

OF_RANGES = "variants"
"""The kind of decisions on groups whose sizes have ranges."""


def show_decisions(
    path: str, decisions: Sequence[Decision], about: str | None, as_json: bool, database: Database
) -> None:
    """In short those of all models; in full those of a model, or on a group by its name or key."""
    names = {} if as_json and about is None else {task.workload_key: task.name for task in database.overviews()}
    wanted = set() if about is None else {about, written_out(about) or about}
    chosen = [each for each in decisions if about is None or wanted & {each.model, each.key, names.get(each.key)}]
    if not chosen:
        of = f" on {about}" if about else ""
        raise UsageError(f"no decisions{of} in {path}; `flextune tune MODEL` makes and records them")
    if as_json or about is not None:
        show_these(path, chosen, as_json, names)
    else:
        print("\n".join(_in_short(path, chosen, names)))


def show_these(path: str, decisions: Sequence[Decision], as_json: bool, names: Mapping[str, str] | None = None) -> None:
    """All that there is to say of these; `names` are those of workloads by key."""
    if as_json:
        print_json({"db": path, "decisions": [*map(facts, decisions)]})
        return
    for each in decisions:
        rows = [(it.name, _measured(it.predicted_secs), _measured(it.measured_secs)) for it in each.options]
        lines = decision_lines(each, names)
        print("\n".join((*lines, table(("option", "predicted", "measured"), rows, "    "))))


def decision_lines(each: Decision, names: Mapping[str, str] | None = None) -> Sequence[str]:
    """What was decided, why, and what else there is to say of it."""
    subject = _subject(each, names or {})
    head = (f"{subject}  ({each.key}, from {each.model})", f"  {each.answer}: {each.reason}")
    return [printable(line) for line in (*head, *(f"    {line}" for line in each.details))]


def facts(each: Decision) -> JsonValue:
    """The decision as it is recorded."""
    found: JsonValue = json.loads(each.to_json())
    return found


def _in_short(path: str, decisions: Sequence[Decision], names: Mapping[str, str]) -> list[str]:
    models = ", ".join(f"{count} of {model}" for model, count in Counter(each.model for each in decisions).items())
    return [
        printable(f"{path}: {len(decisions)} decisions ({models})"),
        "",
        table(
            ("decided about", "chosen", "of", "measured", "model", "when", "key"),
            [_row(each, names) for each in sorted(decisions, key=lambda each: each.KIND == "group")],
        ),
        "",
        "`flextune show --fusion NAME`, with a model, a name above or a key, says why, with the times of all options",
    ]


def _row(each: Decision, names: Mapping[str, str]) -> Sequence[str]:
    times = {option.name: option.measured_secs for option in each.options}
    chosen = _measured(times.get(each.answer))
    return (
        _subject(each, names),
        each.answer,
        str(len(each.options)),
        chosen,
        each.model,
        moment(each.created),
        each.key,
    )


def _subject(each: Decision, names: Mapping[str, str]) -> str:
    return names.get(each.key, each.subject)


def moment(created: str) -> str:
    """An ISO time to the minute: `2026-11-30 08:42`."""
    return created[:16].replace("T", " ")


def _measured(secs: float | None) -> str:
    return "-" if secs is None else seconds(secs)
