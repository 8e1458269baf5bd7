"""FAIR T4 files: results of auto-tuning in the format that several tuners share.

The format is version 1.0.0 of the T4 results schema (github.com/odgaard/TuningSchema).
A file does not list the values of a parameter: these are the ones that occur, or the ones that flextune has noted in
the metadata of a file it wrote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from flextune.csp.assignment import Assignment
from flextune.csp.parameters import Parameter, Parameters, Value
from flextune.database.table_entries import OWN_KEY, Json, Table, TableEntry
from flextune.database.table_objectives import TIME, ZERO, check_objective, losses, positive
from flextune.database.tabular_file import Object, a_list, a_text, an_object, duration, is_number, need
from flextune.errors import UsageError
from flextune.trial.measurement import Status
from flextune.trial.tabular import TabularSpace, TabularTrial

VERSION = "1.0.0"
VALIDITY: Mapping[str, Status] = {
    "correct": Status.OK,
    "timeout": Status.RUN_TIMEOUT,
    "compile": Status.BUILD_ERROR,
    "runtime": Status.RUN_ERROR,
    "correctness": Status.WRONG_OUTPUT,
    "constraints": Status.INFEASIBLE,
}
_PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_UNITS = {
    "seconds": "s",
    "milliseconds": "ms",
    "miliseconds": "ms",
    "microseconds": "us",
    "nanoseconds": "ns",
    **{unit: unit for unit in _PER_SECOND},
}


def t4_space(path: Path, data: Object) -> TabularSpace:
    """The space in a T4 file's JSON. `UsageError` that names the file and the result."""
    where = str(path)
    version = need(where, data, "schema_version")
    if not isinstance(version, str) or version.split(".")[:2] != VERSION.split(".")[:2]:
        raise UsageError(f"{where} is T4 of version {version!r:.40}; this flextune reads version {VERSION}")
    results = [
        an_object(f"{where}: result {number}", result)
        for number, result in enumerate(a_list(f"{where}: results", need(where, data, "results")))
    ]
    if not results:
        raise UsageError(f"{where} holds no configurations")
    configurations = [_configuration(f"{where}: result {number}", result) for number, result in enumerate(results)]
    metadata = an_object(f"{where}: metadata", data.get("metadata", {}))
    own = an_object(f"{where}: metadata: {OWN_KEY}", metadata.get(OWN_KEY, {}))
    parameters = _noted_parameters(where, own) or _parameters(where, configurations)
    per_second = _per_second(where, metadata)
    trials: dict[object, TabularTrial] = {}
    for number, (configuration, result) in enumerate(zip(configurations, results, strict=True)):
        trial = _trial(f"{where}: result {number}", parameters, configuration, result, per_second)
        if trial.assignment in trials:
            raise UsageError(f"{where}: result {number}: the configuration {dict(configuration)} is there twice")
        trials[trial.assignment] = trial
    objectives = {_objective(f"{where}: result {number}", result) for number, result in enumerate(results)}
    if len(objectives) > 1:
        raise UsageError(f"{where}: its results have different objectives: {', '.join(sorted(objectives))}")
    objective = objectives.pop()
    name = a_text(f"{where}: metadata: name", own.get("name") or path.name.partition(".")[0])
    device = a_text(f"{where}: metadata: device", own.get("device") or "")
    return TabularSpace(
        name, parameters, positive(list(trials.values())), device, "" if objective == TIME else objective
    )


def _configuration(where: str, result: Object) -> Mapping[str, Value]:
    values = an_object(f"{where}: configuration", need(where, result, "configuration"))
    for name, value in values.items():
        if not (isinstance(value, bool | str) or is_number(value)):
            raise UsageError(f"{where}: configuration: {name}: expected a value, got {value!r:.80}")
    return values  # type: ignore[return-value]


def _parameters(where: str, configurations: Sequence[Mapping[str, Value]]) -> Parameters:
    """The values of each parameter that occur: numbers in their order, others in the order of the file."""
    names = tuple(configurations[0])
    for number, configuration in enumerate(configurations):
        if set(configuration) != set(names):
            odd = sorted(set(configuration) ^ set(names))[0]
            raise UsageError(f"{where}: result {number}: parameter {odd!r} is not in every configuration")
    found: list[Parameter] = []
    for name in names:
        values = tuple(dict.fromkeys(configuration[name] for configuration in configurations))
        found.append(Parameter(name, Parameter(name, values).ordered))
    return Parameters(tuple(found))


def _noted_parameters(where: str, own: Object) -> Parameters | None:
    """The parameters with all their values, in a file that flextune wrote."""
    if "parameters" not in own:
        return None
    listed = an_object(f"{where}: metadata: parameters", own["parameters"])
    try:
        return Parameters.of(listed)  # type: ignore[arg-type]
    except UsageError as error:
        raise UsageError(f"{where}: metadata: {error}") from None


def _per_second(where: str, metadata: Object) -> float:
    unit = metadata.get("timeunit", "ms")
    if not isinstance(unit, str) or unit.lower() not in _UNITS:
        raise UsageError(f"{where}: metadata: timeunit: expected one of {', '.join(_UNITS)}, got {unit!r:.40}")
    return _PER_SECOND[_UNITS[unit.lower()]]


def _trial(
    where: str, parameters: Parameters, configuration: Mapping[str, Value], result: Object, per_second: float
) -> TabularTrial:
    validity = a_text(f"{where}: invalidity", need(where, result, "invalidity"))
    if validity not in VALIDITY:
        raise UsageError(f"{where}: invalidity: expected one of {', '.join(VALIDITY)}, got {validity[:80]!r}")
    times = an_object(f"{where}: times", need(where, result, "times"))
    runs = a_list(f"{where}: times: runtimes", times.get("runtimes") or [])
    spent = [duration(f"{where}: times: runtimes", secs) / per_second for secs in runs]
    compiled = times.get("compilation", times.get("compilation_time")) or 0.0
    build_secs = duration(f"{where}: times: compilation", compiled) / per_second
    benchmark = times.get("benchmark")
    benchmark_secs = sum(spent) if benchmark is None else duration(f"{where}: times: benchmark", benchmark) / per_second
    assignment, status = _assignment(where, parameters, configuration), VALIDITY[validity]
    if status is not Status.OK:
        return TabularTrial(assignment, status, (), _failure(result, validity), build_secs, benchmark_secs)
    objective = _objective(where, result)
    if objective != TIME:
        numbers = _measured_values(result, objective)
        if not numbers or not all(map(is_number, numbers)):
            raise UsageError(f"{where}: it is 'correct' and has no measurement {objective!r} that is a number")
        run_secs = losses(f"{where}: {objective}", objective, [float(number) for number in numbers])  # type: ignore[arg-type]
        return TabularTrial(assignment, status, run_secs, "", build_secs, benchmark_secs)
    run_secs = tuple(spent) or (_measured(where, result) / per_second,)
    if not min(run_secs) > 0:  # negative ones were refused
        return TabularTrial(assignment, Status.RUN_ERROR, (), ZERO, build_secs, benchmark_secs)
    return TabularTrial(assignment, status, run_secs, "", build_secs, benchmark_secs)


def _objective(where: str, result: Object) -> str:
    """What counts of a result: the first of its objectives."""
    listed = a_list(f"{where}: objectives", result.get("objectives") or [TIME])
    objective = a_text(f"{where}: objectives", listed[0])
    check_objective(where, objective)
    return objective


def _assignment(where: str, parameters: Parameters, configuration: Mapping[str, Value]) -> Assignment:
    try:
        return parameters.encode(configuration)
    except UsageError as error:
        raise UsageError(f"{where}: configuration: {error}") from None


def _measured_values(result: Object, name: str = "") -> list[object]:
    """The values of the measurements (with this name), in the order of the file."""
    listed = result.get("measurements")
    found = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    return [each.get("value") for each in found if not name or each.get("name") == name]


def _failure(result: Object, validity: str) -> str:
    """How the tuner that wrote the file calls the failure, else how the format does."""
    texts = [value for value in _measured_values(result) if isinstance(value, str) and value]
    return texts[0] if texts else validity


def _measured(where: str, result: Object) -> float:
    """The time of a result without single runs."""
    values = _measured_values(result, "time")
    if not values:
        raise UsageError(f"{where}: it is 'correct' and has neither runtimes nor a measurement named 'time'")
    return duration(f"{where}: time", values[0])


def t4_document(table: Table) -> dict[str, Json]:
    """The JSON of a T4 file."""
    own: dict[str, Json] = {"name": table.name, "device": table.device, "parameters": table.listed_parameters}
    return {
        "schema_version": VERSION,
        "metadata": {"timeunit": "milliseconds", OWN_KEY: {**own, **table.own}},
        "results": [_result(entry, table.objective) for entry in table.entries],
    }


def _result(entry: TableEntry, objective: str) -> dict[str, Json]:
    ran = entry.status is Status.OK
    validity = _validity(entry.status)
    return {
        **({"timestamp": entry.created} if entry.created else {}),
        "configuration": dict(entry.values),
        "times": {
            "compilation": entry.build_secs * 1e3,
            "benchmark": entry.benchmark_secs * 1e3,
            "framework": 0,
            "search_algorithm": 0,
            "validation": 0,
            "runtimes": [] if objective else entry.runs_ms,
        },
        "invalidity": validity,
        "correctness": int(validity != "correctness"),
        "measurements": _measurements(entry, objective) if ran else [_failed_measurement(entry, objective, validity)],
        "objectives": [objective or TIME],
        **({OWN_KEY: entry.own} if entry.own is not None else {}),
    }


def _measurements(entry: TableEntry, objective: str) -> list[Json]:
    if not objective:
        return [{"name": TIME, "value": entry.mean_ms, "unit": "ms"}]
    return [{"name": objective, "value": number, "unit": ""} for number in entry.run_secs]


def _failed_measurement(entry: TableEntry, objective: str, validity: str) -> Json:
    return {"name": objective or TIME, "value": entry.error or validity, "unit": "" if objective else "ms"}


def _validity(status: Status) -> str:
    """The nearest word of the format."""
    if status is Status.BUILD_TIMEOUT:
        return "timeout"
    return next((word for word, known in VALIDITY.items() if known is status), "runtime")
