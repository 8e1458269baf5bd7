"""Kernel Tuner's cache files: every configuration that it measured, with its times in milliseconds, or why it failed.

The format is that of Kernel Tuner 1.4 (`process_cache` and `store_cache` in its util.py). A file that it has not closed
yet, which ends with a comma, is read as it reads it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from flextune.csp.parameters import Parameter, Parameters, Value
from flextune.database.table_entries import OWN_KEY, Json, Table, TableEntry
from flextune.database.table_objectives import TIME, VALUE, ZERO, check_objective, losses, positive
from flextune.database.tabular_file import (
    Object,
    a_list,
    a_text,
    an_object,
    duration,
    is_number,
    need,
)
from flextune.errors import UsageError
from flextune.trial.measurement import Status
from flextune.trial.tabular import TabularSpace, TabularTrial

FAILURES: Mapping[str, Status] = {
    "InvalidConfig": Status.INFEASIBLE,
    "CompilationFailedConfig": Status.BUILD_ERROR,
    "RuntimeFailedConfig": Status.RUN_ERROR,
    "ErrorConfig": Status.RUN_ERROR,
}
_TIMES = ("time", "times", "compile_time", "verification_time", "benchmark_time", "strategy_time", "framework_time")
_FIELDS = (*_TIMES, VALUE, "values", "timestamp", "__error__", OWN_KEY)
_FAILED_MS = 1e20
"""The time that old versions wrote for a configuration that failed."""


def kernel_tuner_space(path: Path, data: Object) -> TabularSpace:
    """The space in a cache file's JSON. `UsageError` that names the file and the entry."""
    where = str(path)
    _check_version(where, data)
    parameters = _parameters(where, data)
    cache = an_object(f"{where}: cache", need(where, data, "cache"))
    objective = a_text(f"{where}: objective", data.get("objective") or TIME)
    check_objective(where, objective)
    reader = _EntryReader(parameters, objective)
    trials = tuple(reader.trial(f"{where}: entry {key[:120]!r}", key, entry) for key, entry in cache.items())
    if not trials:
        raise UsageError(f"{where} holds no configurations")
    name = data.get("kernel_name") or path.name.partition(".")[0]
    device = data.get("device_name") or ""
    return TabularSpace(
        a_text(f"{where}: kernel_name", name),
        parameters,
        positive(trials),
        a_text(f"{where}: device_name", device),
        "" if objective == TIME else objective,
    )


def closed(text: str) -> str:
    """The text of a file that Kernel Tuner still has open, with the brackets that it will end with."""
    stripped = text.rstrip()
    return f"{stripped[:-1]}}}\n}}" if stripped.endswith(",") else text


def _check_version(where: str, data: Object) -> None:
    version = data.get("schema_version", "1")
    if not isinstance(version, str) or version.partition(".")[0] != "1":
        raise UsageError(f"{where} is a cache of version {version!r:.40}; this flextune reads version 1")


def _parameters(where: str, data: Object) -> Parameters:
    names = a_list(f"{where}: tune_params_keys", need(where, data, "tune_params_keys"))
    declared = an_object(f"{where}: tune_params", need(where, data, "tune_params"))
    found: list[Parameter] = []
    for name in names:
        text = a_text(f"{where}: tune_params_keys", name)
        values = a_list(f"{where}: tune_params: {text}", need(f"{where}: tune_params", declared, text))
        try:
            found.append(Parameter(text, tuple(dict.fromkeys(values))))  # type: ignore[arg-type]
        except (UsageError, TypeError) as error:
            raise UsageError(f"{where}: tune_params: {error}") from None
    if unlisted := [name for name in declared if name not in names]:
        raise UsageError(f"{where}: tune_params: {unlisted[0]!r} is not among tune_params_keys")
    try:
        return Parameters(tuple(found))
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None


class _EntryReader:
    """Reads entries of one cache."""

    def __init__(self, parameters: Parameters, objective: str) -> None:
        self._parameters = parameters
        self._objective = objective
        self._by_text = [{str(value): value for value in each.values} for each in parameters.parameters]

    def trial(self, where: str, key: str, entry: object) -> TabularTrial:
        fields = an_object(where, entry)
        values = self._values(where, key, fields)
        assignment = self._parameters.encode(values)
        build_secs = _secs(where, fields, "compile_time")
        benchmark_secs = _secs(where, fields, "benchmark_time")
        failure = _failure(where, fields, self._objective)
        if failure:
            status = FAILURES.get(failure, Status.RUN_ERROR)
            return TabularTrial(assignment, status, (), failure, build_secs, benchmark_secs)
        secs = run_secs(where, fields) if self._objective == TIME else _objective_runs(where, fields, self._objective)
        return TabularTrial(assignment, Status.OK, secs, "", build_secs, benchmark_secs)

    def _values(self, where: str, key: str, fields: Object) -> dict[str, Value]:
        """The configuration that the key names. Where the entry repeats it, both must agree."""
        texts = self._split(where, key, fields)
        values: dict[str, Value] = {}
        for parameter, known, text in zip(self._parameters.parameters, self._by_text, texts, strict=True):
            if text not in known:
                raise UsageError(f"{where}: {text[:80]!r} is not among the values of {parameter.name!r} in tune_params")
            values[parameter.name] = known[text]
            if parameter.name in fields and fields[parameter.name] != known[text]:
                raise UsageError(f"{where}: the entry says {parameter.name}={fields[parameter.name]!r:.80}")
        return values

    def _split(self, where: str, key: str, fields: Object) -> Sequence[str]:
        """The values' texts. A text may hold commas itself: then only the entry tells where one ends."""
        names, texts = self._parameters.names, key.split(",")
        if len(texts) > len(names) and all(name in fields for name in names):
            own = [str(fields[name]) for name in names]
            if ",".join(own) == key:
                return own
        if len(texts) != len(names):
            raise UsageError(f"{where}: expected {len(names)} values in the key, got {len(texts)}")
        return texts


def _failure(where: str, fields: Object, objective: str) -> str:
    """How the entry calls its failure; empty for one that ran."""
    if "__error__" in fields:
        return a_text(f"{where}: __error__", fields["__error__"]) or "ErrorConfig"
    time = fields[objective] if objective in fields else need(where, fields, TIME)
    if objective == TIME and is_number(time) and time == 0:
        return ZERO
    if isinstance(time, str):
        if not time.isidentifier():
            raise UsageError(f"{where}: time: expected a number or the name of a failure, got {time!r:.80}")
        return time
    if isinstance(time, float) and (time >= _FAILED_MS or time != time):
        return "ErrorConfig"
    return ""


def run_secs(where: str, fields: Object) -> tuple[float, ...]:
    """All repeats where the entry has them, else its one time."""
    listed = a_list(f"{where}: times", fields.get("times") or [need(where, fields, "time")])
    if not all(is_number(time) and time > 0 for time in listed):  # type: ignore[operator]
        wrong = next(time for time in listed if not (is_number(time) and time > 0))  # type: ignore[operator]
        raise UsageError(f"{where}: expected times in milliseconds, got {wrong!r:.80}")
    return tuple(float(time) / 1e3 for time in listed)  # type: ignore[arg-type]


def _objective_runs(where: str, fields: Object, objective: str) -> tuple[float, ...]:
    """As numbers to minimise: every repeat where the entry is one of ours and has them, else the one that it has."""
    listed = fields.get("values") if objective == VALUE else None
    numbers = a_list(f"{where}: values", listed or [need(where, fields, objective)])
    if wrong := [number for number in numbers if not is_number(number)]:
        raise UsageError(f"{where}: {objective}: expected a number, got {wrong[0]!r:.80}")
    return losses(f"{where}: {objective}", objective, [float(number) for number in numbers])  # type: ignore[arg-type]


def _secs(where: str, fields: Object, name: str) -> float:
    return duration(f"{where}: {name}", fields.get(name) or 0.0) / 1e3


def kernel_tuner_document(table: Table) -> dict[str, Json]:
    """The JSON of a cache file. `UsageError` for what the format cannot tell apart."""
    if taken := [name for name in table.parameters.names if name in _FIELDS]:
        raise UsageError(f"a Kernel Tuner cache cannot have a parameter named {taken[0]!r}; write T4 instead")
    cache: dict[str, Json] = {}
    for entry in table.entries:
        key = ",".join(str(entry.values[name]) for name in table.parameters.names)
        if key in cache:
            raise UsageError(f"two configurations have the same key {key!r} in a Kernel Tuner cache; write T4 instead")
        cache[key] = _entry(entry, table.objective)
    own: dict[str, Json] = {OWN_KEY: table.own} if table.own else {}
    return {
        "device_name": table.device,
        "kernel_name": table.name,
        "problem_size": [],
        "tune_params_keys": list(table.parameters.names),
        "tune_params": table.listed_parameters,
        "objective": table.objective or TIME,
        **own,
        "cache": cache,
    }


def _entry(entry: TableEntry, objective: str) -> dict[str, Json]:
    times: dict[str, Json]
    if entry.status is not Status.OK:
        times = {"time": failure_name(entry)}
    elif objective:
        times = {objective: entry.mean, "values": list(entry.run_secs)}
    else:
        times = {"time": entry.mean_ms, "times": entry.runs_ms}
    return {
        **entry.values,
        **times,
        "compile_time": entry.build_secs * 1e3,
        "verification_time": 0,
        "benchmark_time": entry.benchmark_secs * 1e3,
        "strategy_time": 0,
        "framework_time": 0,
        **({"timestamp": entry.created} if entry.created else {}),
        **({OWN_KEY: entry.own} if entry.own is not None else {}),
    }


def failure_name(entry: TableEntry) -> str:
    """How Kernel Tuner calls this failure: as it did when it wrote it, else the nearest that it knows."""
    if FAILURES.get(entry.error) is entry.status:
        return entry.error
    if entry.status is Status.INFEASIBLE:
        return "InvalidConfig"
    building = entry.status in (Status.BUILD_ERROR, Status.BUILD_TIMEOUT)
    return "CompilationFailedConfig" if building else "RuntimeFailedConfig"
