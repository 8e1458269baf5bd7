"""`flextune show`: what the records hold, the best of each workload and failures by cause."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from flextune.cli.arguments import DatabasePath, Json
from flextune.cli.output import JsonValue, amount, print_json, seconds, table
from flextune.errors import FlextuneError, UsageError
from flextune.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flextune.trial.decision import Decision
    from flextune.trial.record import Options, TuningRecord


def show(
    workload: Annotated[str | None, typer.Argument(help="Only this workload (default: all).")] = None,
    schedule: Annotated[bool, typer.Option("--schedule", help="Also print the best schedule as code.")] = False,
    fusion: Annotated[
        bool, typer.Option("--fusion", help="Print the decisions on models and their groups instead.")
    ] = False,
    db: DatabasePath = None,
    as_json: Json = False,
) -> None:
    """Print the best records of each workload, and failures grouped by cause."""
    from flextune.cli.inputs import database_path
    from flextune.cli.replay import of_this
    from flextune.database.store import open_database
    from flextune.trial.decision import Decision

    path = database_path(db)
    with open_database(path, must_exist=True) as database:
        if fusion:
            _show_decisions(path, database.decisions(Decision), workload, as_json)
            return
        records = database.records()
        ranges = [each for each in database.decisions(Decision) if each.KIND == _OF_RANGES]
    if of_it := [each for each in ranges if workload in (each.model, each.key)]:
        _show_decisions(path, of_it, None, as_json)
        return
    if workload and not (records := of_this(records, workload)):
        raise UsageError(f"no records of {workload} in {path}; `flextune show` without a workload lists what is there")
    groups, other_ranges = summarise(records), ranges if workload is None else []
    if as_json:
        print_json(
            {"db": path, "workloads": [group.to_dict() for group in groups], "ranges": [*map(_facts, other_ranges)]}
        )
    else:
        texts = [_text(group, schedule) for group in groups]
        texts += ["\n".join(decision_lines(each)) for each in other_ranges]
        print("\n".join(texts) if texts else f"{path} holds no records")


_OF_RANGES = "variants"
"""The kind of decisions on groups whose sizes have ranges."""


def decision_lines(each: Decision) -> Sequence[str]:
    """What was decided, why, and what else there is to say of it."""
    head = (f"{each.subject}  ({each.key}, from {each.model})", f"  {each.answer}: {each.reason}")
    return (*head, *(f"    {line}" for line in each.details))


def _show_decisions(path: str, decisions: Sequence[Decision], about: str | None, as_json: bool) -> None:
    """The decisions, of all models or of the one that is named."""
    chosen = [each for each in decisions if about is None or about in (each.model, each.key)]
    if not chosen:
        of = f" on {about}" if about else ""
        raise UsageError(f"no decisions{of} in {path}; `flextune tune MODEL` makes and records them")
    if as_json:
        print_json({"db": path, "decisions": [*map(_facts, chosen)]})
        return
    for each in chosen:
        rows = [(it.name, _measured(it.predicted_secs), _measured(it.measured_secs)) for it in each.options]
        print("\n".join((*decision_lines(each), table(("option", "predicted", "measured"), rows, "    "))))


def _facts(each: Decision) -> JsonValue:
    found: JsonValue = json.loads(each.to_json())
    return found


def _measured(secs: float | None) -> str:
    return "-" if secs is None else seconds(secs)


@dataclass(frozen=True, slots=True)
class Summary:
    """The records of one workload on one target, in one unit; the latest record of a candidate counts."""

    name: str
    """Which a person knows."""
    workload: str
    """Its text."""
    target: str
    """The target's text."""
    trials: int
    """Candidates measured."""
    failed: int
    """How many of them gave no time."""
    best: TuningRecord | None
    """The one of least cost; None where none ran."""
    failures: tuple[tuple[str, int], ...]
    """How many failed in which way, most first."""

    def to_dict(self) -> JsonValue:
        return {
            "name": self.name,
            "workload": self.workload,
            "target": self.target,
            "trials": self.trials,
            "failed": self.failed,
            "best": None if self.best is None else _best(self.best),
            "failures": [{"cause": cause, "count": count} for cause, count in self.failures],
        }


def summarise(records: Sequence[TuningRecord]) -> list[Summary]:
    """One summary per workload, target, unit and origin, in the order of their first record."""
    groups: dict[tuple[object, ...], list[TuningRecord]] = {}
    for record in records:
        groups.setdefault((record.workload_key, record.target_key, record.scale), []).append(record)
    return [_summary(group) for group in groups.values()]


def _summary(records: Sequence[TuningRecord]) -> Summary:
    from flextune.trial.cause import failure_text
    from flextune.trial.evidence import best_record
    from flextune.workload.readable import readable_name

    latest = {record.key: record.measurement for record in records}
    failures = Counter(failure_text(measurement) for measurement in latest.values() if not measurement.ok)
    first, best = records[0], best_record(records)
    return Summary(
        readable_name(first.workload, first.body),
        first.workload,
        first.target_key,
        len(latest),
        failures.total(),
        best,
        tuple(failures.most_common()),
    )


def _best(record: TuningRecord) -> JsonValue:
    from flextune.database.exchange import configuration

    return {
        "id": record.key,
        **({"secs": record.secs} if record.scale.is_time or record.of_objective else {"cost": record.secs}),
        "unit": record.unit,
        "origin": record.origin,
        "parts": {} if record.of_objective else dict(record.metrics),
        "assignment": record.assignment,
        **({"values": configuration(record)} if record.of_objective else {}),
        "evidence": record.evidence,
        **({"model": record.model} if record.model else {}),
        "strategy": record.strategy,
        "strategy_options": _options(record.strategy_options),
        "cost_model": record.cost_model,
        "cost_model_options": _options(record.cost_model_options),
        "pretrained": record.pretrained,
        "seed": record.seed,
        "created": record.created,
        "versions": record.versions,
    }


def _options(given: Options | None) -> JsonValue:
    return None if given is None else dict(given)


def _searched(record: TuningRecord) -> str:
    """Who proposed it: `auto+trees`, with options `cga(population=16)+trees(loss=ranking) pretrained`."""
    parts = [(record.strategy, record.strategy_options), (record.cost_model, record.cost_model_options)]
    named = [f"{name}{_in_brackets(given or ())}" for name, given in parts if name]
    return "+".join(named) + (" pretrained" if record.pretrained else "")


def _in_brackets(given: Options) -> str:
    return f"({','.join(f'{name}={value}' for name, value in given)})" if given else ""


def _text(summary: Summary, schedule: bool) -> str:
    is_program = summary.workload.startswith("tir:")  # of which the text says little
    title = f"{summary.name}  ({summary.workload})" if is_program else summary.workload
    lines = [printable(title), f"  on {summary.target}", f"  {summary.trials} trials, {summary.failed} failed"]
    if best := summary.best:
        value = f"{best.secs:.6g}" if best.of_objective else amount(best.secs, best.scale)
        lines.append(f"  best {value}  id {best.key}  {best.created}  {_searched(best)}")
        lines.append(f"       {_choices(best)}")
        if parts := ", ".join(f"{count:.0f} {name}" for name, count in best.metrics if not best.of_objective):
            lines.append(f"       {parts}")
        if schedule and not best.of_objective:
            lines.append(_schedule(best))
    if summary.failures:
        lines.append(table(("cause", "count"), [(cause, str(count)) for cause, count in summary.failures], "    "))
    return "\n".join(lines)


def _choices(record: TuningRecord) -> str:
    from flextune.database.exchange import configuration

    if not record.of_objective:
        return record.assignment
    return " ".join(f"{name}={value}" for name, value in configuration(record).items())


def _schedule(record: TuningRecord) -> str:
    from flextune.schedule.trace import Trace

    try:
        code = Trace.from_json(record.trace).python(record.assigned)
    except FlextuneError as error:  # of another version, or damaged: the other workloads are shown
        code = f"the schedule cannot be read: {error}"
    return "\n".join("    " + line for line in code.splitlines())
