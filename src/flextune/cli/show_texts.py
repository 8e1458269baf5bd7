"""What `flextune show` says of models and workloads."""

from __future__ import annotations

from collections.abc import Sequence

from flextune.cli.output import JsonValue, amount, seconds, table
from flextune.cli.show_decisions import moment
from flextune.database.exchange import configuration
from flextune.database.overview import TaskOverview
from flextune.errors import FlextuneError
from flextune.printable import printable
from flextune.quantities import figure
from flextune.report.choices import choices
from flextune.report.comparison import Comparison, compare, how_sure
from flextune.report.finding import Found, of_model
from flextune.schedule.trace import Trace
from flextune.trial.decision import Decision, Verdict
from flextune.trial.record import Options, TuningRecord
from flextune.trial.runtime_decision import RuntimeDecision

Model = Found[TaskOverview]

_WIDEST_NAME = 96
"""Letters of a name in a table; `show` with what is shown of a longer one does not find it, with its key it does."""


def models_of(tasks: Sequence[TaskOverview], decisions: Sequence[Decision]) -> list[Model]:
    """All models that were tuned, in the order in which they are mentioned first."""
    named = [each.model for each in decisions] + [model for task in tasks for model in sorted(task.models)]
    return [of_model(name, tasks, decisions) for name in dict.fromkeys(named) if name]


def in_short(path: str, models: Sequence[Model], tasks: Sequence[TaskOverview]) -> list[str]:
    """All of it, a line for each; nothing where there is nothing."""
    if not models and not tasks:
        return []
    targets = sorted({task.first.target_key for task in tasks})
    latest = max((task.latest for task in tasks), default="")
    trials = sum(task.candidates for task in tasks)
    counts = f"{_counted(trials, 'trial')} of {_counted(len(tasks), 'workload')}"
    lines = [f"{path}: {counts}" + (f", the last at {moment(latest)}" if latest else "")]
    lines += [f"on {printable(target)}" for target in targets[:4]]
    if models:
        headers = ("model", "before", "best", "faster", "ships", "trials", "failed", "last", "how sure")
        lines += ["", table(headers, [_model_row(each) for each in models])]
    if tasks:
        lines += ["", tasks_table(tasks)]
    return [*lines, "", "`flextune show NAME` says more of one, by its name or its key; `flextune report` makes a page"]


def _counted(count: int, what: str) -> str:
    return f"1 {what}" if count == 1 else f"{count} {what}s"


def tasks_table(tasks: Sequence[TaskOverview], indent: str = "") -> str:
    """A line for each workload."""
    headers = ("workload", "before", "best", "faster", "trials", "failed", "last", "how sure", "key")
    return table(headers, [_task_row(each) for each in tasks], indent)


def _task_row(task: TaskOverview) -> Sequence[str]:
    found = compare(task.deciding)
    return (
        _clipped(task.name),
        _value(found.before),
        _value(found.after or found.best),
        "-" if found.speedup is None else f"{found.speedup:.2f}x",
        str(task.candidates),
        str(task.failed),
        moment(task.latest),
        how_sure(found, task.candidates),
        task.workload_key[:8],
    )


def _model_row(model: Model) -> Sequence[str]:
    verdict, runtime = _verdict(model), _runtime(model)
    trials, failed = sum(task.candidates for task in model.tasks), sum(task.failed for task in model.tasks)
    latest = max([*(each.created for each in model.decisions), *(task.latest for task in model.tasks)], default="")
    tuned = None if verdict is None else verdict.tuned_secs
    return (
        _clipped(model.model),
        "-" if verdict is None else seconds(verdict.default_secs),
        "-" if tuned is None else seconds(tuned),
        "-" if verdict is None or tuned is None else f"{verdict.default_secs / tuned:.2f}x",
        "-" if verdict is None else str(verdict.shipped) if runtime is None else runtime.chosen,
        str(trials),
        str(failed),
        moment(latest),
        "both builds were not compared" if verdict is None else verdict.reason,
    )


def model_text(model: Model) -> str:
    """A whole model: what ships and why, then its workloads."""
    verdict, runtime = _verdict(model), _runtime(model)
    trials, failed = sum(task.candidates for task in model.tasks), sum(task.failed for task in model.tasks)
    lines = [printable(model.model), f"  {trials} trials, {failed} failed, of {len(model.tasks)} workloads"]
    if verdict is None:
        lines.append("  no verdict: its builds were not compared")
    else:
        tuned = "not built" if verdict.tuned_secs is None else seconds(verdict.tuned_secs)
        lines.append(f"  default {seconds(verdict.default_secs)}, tuned {tuned}; ships {verdict.shipped}")
        lines.append(f"  {printable(verdict.reason)}")
        lines += [f"  {detail}" for detail in verdict.details]
        lines += [f"  left out {printable(failure)}" for failure in verdict.failures]
    if runtime is not None:
        lines.append(f"  run by {runtime.chosen}: {printable(runtime.reason)}")
    if model.tasks:
        lines += [tasks_table(model.tasks, "  ")]
    name = printable(model.model)
    return "\n".join(
        [*lines, f"  decisions on its groups: `flextune show --fusion {name}`; a page: `flextune report {name}`"]
    )


def _verdict(model: Model) -> Verdict | None:
    return next((each for each in reversed(model.decisions) if isinstance(each, Verdict)), None)


def _runtime(model: Model) -> RuntimeDecision | None:
    return next((each for each in reversed(model.decisions) if isinstance(each, RuntimeDecision)), None)


def _clipped(name: str) -> str:
    return name if len(name) <= _WIDEST_NAME else name[: _WIDEST_NAME - 2] + ".."


def _value(record: TuningRecord | None) -> str:
    if record is None or not record.measurement.ok:
        return "-"
    return f"{record.secs:.6g}" if record.of_objective else amount(record.secs, record.scale)


def task_text(task: TaskOverview, schedule: bool) -> str:
    """One workload: the best record, how it compares, and why candidates failed."""
    found, first = compare(task.deciding), task.first
    title = task.name if task.name == first.workload else f"{task.name}  ({first.workload})"
    lines = [printable(title), f"  on {printable(first.target_key)}  key {task.workload_key}"]
    lines.append(f"  {task.candidates} trials, {task.failed} failed, the last at {moment(task.latest)}")
    lines.append(_gain(found, task.candidates))
    if best := found.best:
        lines.append(f"  best {_value(best)}  id {best.key}  {best.created}  {_searched(best)}")
        lines.append(f"       {printable(choices(best))}")
        if parts := ", ".join(figure(name, value) for name, value in best.metrics if not best.of_objective):
            lines.append(f"       {printable(parts)}")
        if schedule and not best.of_objective:
            lines.append(_schedule(best))
    if task.failures:
        lines.append(table(("cause", "count"), [(cause, str(count)) for cause, count in task.failures], "    "))
    return "\n".join(lines)


def _gain(found: Comparison, candidates: int) -> str:
    sure = how_sure(found, candidates)
    if found.speedup is None:
        return f"  {sure}"
    between = "" if found.interval is None else f" ({found.interval.low:.3g} to {found.interval.high:.3g})"
    return f"  {_value(found.before)} before, {_value(found.after)} after: {found.speedup:.2f}x{between}; {sure}"


def _searched(record: TuningRecord) -> str:
    """Who proposed it: `auto+trees`, with options `cga(population=16)+trees(loss=ranking) pretrained`."""
    parts = [(record.strategy, record.strategy_options), (record.cost_model, record.cost_model_options)]
    named = [f"{name}{_in_brackets(given or ())}" for name, given in parts if name]
    return printable("+".join(named) + (" pretrained" if record.pretrained else ""))


def _in_brackets(given: Options) -> str:
    return f"({','.join(f'{name}={value}' for name, value in given)})" if given else ""


def _schedule(record: TuningRecord) -> str:
    try:
        code = Trace.from_json(record.trace).python(record.assigned)
    except FlextuneError as error:  # of another version, or damaged: the other workloads are shown
        code = f"the schedule cannot be read: {error}"
    return "\n".join("    " + line for line in code.splitlines())


def task_facts(task: TaskOverview) -> JsonValue:
    """The same for programs."""
    found, first = compare(task.deciding), task.first
    interval = found.interval
    return {
        "name": task.name,
        "workload": first.workload,
        "key": task.workload_key,
        "target": first.target_key,
        "trials": task.candidates,
        "failed": task.failed,
        "last": task.latest,
        "best": None if found.best is None else _best(found.best),
        "before": None if found.before is None else found.before.secs,
        "speedup": found.speedup,
        "interval": None if interval is None else [interval.low, interval.high],
        "how_sure": how_sure(found, task.candidates),
        "failures": [{"cause": cause, "count": count} for cause, count in task.failures],
    }


def model_facts(model: Model) -> JsonValue:
    """Of a whole model."""
    verdict, runtime = _verdict(model), _runtime(model)
    return {
        "name": model.model,
        "workloads": [task.workload_key for task in model.tasks],
        "trials": sum(task.candidates for task in model.tasks),
        "failed": sum(task.failed for task in model.tasks),
        "default_secs": None if verdict is None else verdict.default_secs,
        "tuned_secs": None if verdict is None else verdict.tuned_secs,
        "default_joules": None if verdict is None else verdict.default_joules,
        "tuned_joules": None if verdict is None else verdict.tuned_joules,
        "ships": None if verdict is None else str(verdict.shipped),
        "how_sure": None if verdict is None else verdict.reason,
        "runtime": None if runtime is None else runtime.chosen,
    }


def _best(record: TuningRecord) -> JsonValue:
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
