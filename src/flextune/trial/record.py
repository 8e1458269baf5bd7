"""What is kept of a trial: everything needed to build it again and to trust its result."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import typing
from collections.abc import Mapping, Set
from dataclasses import InitVar, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from importlib import metadata

from flextune.csp.assignment import Assignment
from flextune.errors import UsageError
from flextune.printable import json_values, whole_text
from flextune.quantities import CostOrigin, Scale, Unit
from flextune.trial.format_1 import FORMAT_1, NAMES_1, migrated_record
from flextune.trial.measurement import Candidate, Measurement, Status, candidate_key
from flextune.trial.record_check import check_objective, check_program
from flextune.workload.readable import readable_name

RECORD_FORMAT = 2
OBJECTIVE = "objective:"
"""With this the workload of a record begins that is of no tensor program, but of a function or command that somebody
minimises: `body` says what was measured, `trace` holds the parameters, and `run_secs` numbers of any sign."""


Options = tuple[tuple[str, str], ...]
"""Names and values that were given; what was not given had its default."""


Metrics = tuple[tuple[str, float], ...]

_MEASURED = ("status", "run_secs", "error", "build_secs", "elapsed_secs", "max_error", "metrics")
"""Fields of a record that are those of a `Measurement`."""


class Evidence(StrEnum):
    """How a candidate came to its times: what weighs more stands further down."""

    TRIAL = "trial"
    """Alone, once it was proposed."""

    FINALIST = "finalist"
    """In turns with the other finalists and the default."""

    IN_MODEL = "in_model"
    """In its place in a built model, in turns with other builds of it."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Who measured: what is the same for all records of one tuning run.

    Options of None were not recorded: records of format 1 do not say them.
    """

    protocol: str
    """How candidates are timed."""
    versions: str
    """What built them (`installed_versions`)"""
    seed: int
    """Of everything random."""
    strategy: str
    """What proposed them."""
    host: str
    """The machine's fingerprint."""
    strategy_options: Options | None = ()
    """The strategy's, as they were given."""
    cost_model: str = "none"
    """What guided the strategy."""
    cost_model_options: Options | None = ()
    """The cost model's, as they were given."""
    pretrained: bool = False
    """Whether the cost model was pretrained; otherwise it began with nothing."""
    unit: Unit = Unit.SECONDS
    """What the numbers count."""
    origin: CostOrigin = CostOrigin.MEASURED
    """How they were found."""

    @property
    def scale(self) -> Scale:
        """What the numbers are, in one value."""
        return Scale(self.unit, self.origin)


@dataclass(frozen=True, slots=True)
class TuningRecord:
    """One trial as text and numbers; `to_json` and `from_json` round-trip on one line.

    A field with a default is left out of the text where it has that value. So a field that is added, with a default,
    leaves the texts of older records, and what tells records apart, as they are.
    """

    workload: str
    """The workload's text, which rebuilds it together with `body` and `constants`."""
    body: str | None
    """The program of a workload that no operator's name describes, as JSON; None for an operator."""
    constants: tuple[int, ...]
    """Positions of inputs that are known when a model is built."""
    workload_key: str
    """What equal workloads have in common."""
    target: str
    """The target's text."""
    target_key: str
    """What equal targets have in common."""
    trace: str
    """The steps of the schedule, as JSON."""
    assignment: str
    """The values of the trace's variables, as text."""
    status: Status
    """How the trial ended."""
    run_secs: tuple[float, ...]
    """Every raw repeat, in the record's unit."""
    error: str
    """What went wrong, in words; empty for a trial that is ok."""
    build_secs: float
    """Of building the program."""
    elapsed_secs: float
    """Of the whole trial."""
    max_error: float
    """The largest absolute difference from the reference; infinite when an element was not a number."""
    protocol: str
    """As in `Provenance`, like `versions`, `seed`, `strategy` and `host`."""
    versions: str
    """As in `Provenance`."""
    seed: int
    """As in `Provenance`."""
    strategy: str
    """As in `Provenance`."""
    host: str
    """As in `Provenance`."""
    created: str
    """When, as ISO time."""
    strategy_options: Options | None = ()
    """As in `Provenance`, like those of the cost model."""
    cost_model: str = "none"
    """As in `Provenance`."""
    cost_model_options: Options | None = ()
    """As in `Provenance`."""
    pretrained: bool = False
    """As in `Provenance`."""
    evidence: Evidence = Evidence.TRIAL
    """What the times stand for."""
    model: str = ""
    """The model they were measured inside; empty otherwise."""
    metrics: Metrics = ()
    """What else was measured, by name: of an objective; of a cost its parts."""
    unit: Unit = Unit.SECONDS
    """What the numbers in `run_secs` count, which are seconds unless it says otherwise."""
    origin: CostOrigin = CostOrigin.MEASURED
    """How they were found."""
    assigned: Assignment = field(init=False, repr=False, compare=False)
    """What `assignment` says."""
    parsed: InitVar[Assignment | None] = None
    """The same, for who knows it already."""

    def __post_init__(self, parsed: Assignment | None) -> None:
        if self.status is Status.OK and not self.run_secs:
            raise UsageError("a record with status 'ok' needs at least one time in 'run_secs'")
        is_finite = all(map(math.isfinite, self.run_secs))
        if not is_finite or (min(self.run_secs, default=1.0) <= 0 and not self.of_objective):
            raise UsageError(f"'run_secs' must be positive, finite {self.unit}, got {list(self.run_secs)}")
        if self.model and self.evidence is not Evidence.IN_MODEL:
            raise UsageError(f"'model' is {self.model!r}, but 'evidence' is {self.evidence!r}")
        object.__setattr__(self, "assigned", Assignment.parse(self.assignment) if parsed is None else parsed)
        _check_created(self.created)

    @classmethod
    def of(
        cls,
        candidate: Candidate,
        measurement: Measurement,
        provenance: Provenance,
        created: datetime | None = None,
        evidence: Evidence = Evidence.TRIAL,
        model: str = "",
    ) -> TuningRecord:
        """The record of one measured candidate; `created` is the present moment unless given."""
        moment = (created or datetime.now(UTC)).astimezone(UTC)
        return cls(
            workload=str(candidate.workload),
            body=candidate.workload.body,
            constants=tuple(candidate.workload.constants),
            workload_key=candidate.workload.key,
            target=str(candidate.target),
            target_key=candidate.target.key,
            trace=candidate.trace.to_json(),
            assignment=str(candidate.assignment),
            created=moment.isoformat(timespec="seconds"),
            evidence=evidence,
            model=model,
            **_values(measurement, _MEASURED),
            **_values(provenance, tuple(each.name for each in dataclasses.fields(Provenance))),
        )

    @property
    def of_objective(self) -> bool:
        """Whether this is a trial of an objective and not of a tensor program."""
        return is_of_objective(self.workload)

    @property
    def name(self) -> str:
        """Of what was measured, as a person knows it."""
        return self.workload.removeprefix(OBJECTIVE) if self.of_objective else readable_name(self.workload, self.body)

    @property
    def key(self) -> str:
        """The same as `Candidate.key` of the candidate: equal keys build the same program."""
        return candidate_key(self.workload_key, self.target_key, self.trace, self.assigned)

    @property
    def measurement(self) -> Measurement:
        """What the strategies and cost models learn from."""
        return self.measurement_of(self.assigned)

    def measurement_of(self, assignment: Assignment) -> Measurement:
        """`measurement` with another name for what was measured."""
        return Measurement(
            assignment,
            self.status,
            self.run_secs,
            self.error,
            self.build_secs,
            self.elapsed_secs,
            self.max_error,
            self.metrics,
        )

    @property
    def scale(self) -> Scale:
        """What its numbers are: only records of one scale are compared, or learned from together."""
        return Scale(self.unit, self.origin)

    @property
    def secs(self) -> float:
        """Median of the raw repeats: seconds, or what its `scale` says; infinity for a failed trial."""
        return self.measurement.secs

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(self.json_values(), allow_nan=False, ensure_ascii=False)

    def json_values(self) -> dict[str, object]:
        """What `to_json` writes, as values."""
        values: dict[str, object] = {"format": RECORD_FORMAT, **_values(self, tuple(_TYPES))}
        values |= {"max_error": self.max_error if math.isfinite(self.max_error) else None}
        for name, default in _DEFAULTS.items():
            if values[name] == default:
                del values[name]
            elif isinstance(default, tuple) and values[name] is not None:
                values[name] = dict(getattr(self, name))
        return values

    @classmethod
    def from_json(cls, text: str) -> TuningRecord:
        """Inverse of `to_json`, also for records of format 1.

        Raises `UsageError` naming the field that is missing, unknown or of the wrong type, and for a program that does
        more than compute.
        """
        values = json_object(text)
        version = values.pop("format", None)
        if version == FORMAT_1:
            check_names(values, NAMES_1, NAMES_1)
            values = migrated_record(values)
        elif version != RECORD_FORMAT:
            raise UsageError(f"expected a tuning record of 'format' {FORMAT_1} or {RECORD_FORMAT}, got {version!r}")
        record = cls(**checked_fields(values, REQUIRED_FIELDS))
        if record.of_objective:
            check_objective(record.trace, record.assigned)
        else:
            check_program(record.workload, record.body)
        return record


def is_of_objective(workload: str) -> bool:
    """Whether records with this workload are of trials of an objective."""
    return workload.startswith(OBJECTIVE)


def installed_versions() -> str:
    """The versions that decide what code a trace becomes, as `flextune=0.1.0,tvm=0.27.0.post1`."""
    return f"flextune={_version('flextune')},tvm={_version('apache-tvm')}"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


def _values(source: object, names: tuple[str, ...]) -> dict[str, typing.Any]:
    return {name: getattr(source, name) for name in names}


def json_object(text: str) -> dict[str, typing.Any]:
    """The values in a text. `UsageError` for anything but one JSON object."""
    try:
        values = json_values(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"expected a tuning record as one JSON object: {error}") from None
    if not isinstance(values, dict):
        raise UsageError(f"expected a tuning record as a JSON object, got {type(values).__name__}")
    return values


def checked_fields(values: Mapping[str, object], required: Set[str]) -> dict[str, typing.Any]:
    """The fields of a record that JSON values stand for, `required` among them. `UsageError` naming one that is not."""
    check_names(values, _TYPES.keys(), required)
    return {name: checked_field(name, value) for name, value in values.items()}


def checked_field(name: str, value: object) -> object:
    """What the JSON value of a field stands for. `UsageError` for one of another type."""
    if type(value) is _AS_IT_IS[name] and (type(value) is not str or value.isascii()):
        return value
    try:
        return _CONVERTERS[name](value)
    except (TypeError, ValueError, KeyError, OverflowError):
        raise UsageError(f"field {name!r} of the record: expected {_TYPES[name]}, got {value!r:.80}") from None


def check_names(values: Mapping[str, object], known: Set[str], required: Set[str]) -> None:
    """`UsageError` for names that are missing, and for unknown ones, with the nearest that is known."""
    if required <= values.keys() <= known:
        return
    if missing := [name for name in known if name in required and name not in values]:
        raise UsageError(f"the record lacks {', '.join(map(repr, missing))}")
    for name in values:
        if name not in known:
            close = difflib.get_close_matches(name, list(known), 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise UsageError(f"the record has an unknown field {name!r}{hint}")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return whole_text(value)


def _integer(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    return value


def _number(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise TypeError
    return float(value)


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError
    return value


def _object(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise TypeError
    return value


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _options(value: object) -> Options | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise TypeError
    return tuple((name, _text(each)) for name, each in value.items())


_STATUS = {status.value: status for status in Status}
_CONVERT: Mapping[str, typing.Callable[[typing.Any], object]] = {
    "str": _text,
    "str | None": lambda value: None if value is None else _text(value),
    "int": _integer,
    "float": _number,
    "bool": _truth,
    "Status": lambda value: _STATUS[_text(value)],
    "Evidence": lambda value: Evidence(_text(value)),
    "Unit": lambda value: Unit(_text(value)),
    "CostOrigin": lambda value: CostOrigin(_text(value)),
    "Options | None": _options,
    "Metrics": lambda value: tuple((name, _number(each)) for name, each in _object(value).items()),
    "tuple[int, ...]": lambda value: tuple(map(_integer, _list(value))),
    "tuple[float, ...]": lambda value: tuple(map(_number, _list(value))),
}
_FIELDS = tuple(each for each in dataclasses.fields(TuningRecord) if each.init)
_TYPES: Mapping[str, str] = {each.name: str(each.type) for each in _FIELDS}
_CONVERTERS: Mapping[str, typing.Callable[[typing.Any], object]] = {
    **{name: _CONVERT[text] for name, text in _TYPES.items()},
    "max_error": lambda value: math.inf if value is None else _number(value),
}
_AS_IT_IS = {name: {"str": str, "str | None": str, "int": int, "bool": bool}.get(text) for name, text in _TYPES.items()}
"""Fields for which a value of this very type needs no conversion: most of them, and there may be many records."""

_DEFAULTS: Mapping[str, object] = {
    each.name: each.default for each in _FIELDS if each.default is not dataclasses.MISSING
}
REQUIRED_FIELDS = _TYPES.keys() - _DEFAULTS.keys()


def _check_created(created: str) -> None:
    try:
        known = datetime.fromisoformat(created).utcoffset() is not None
    except ValueError:
        known = False
    if not known:
        raise UsageError(f"'created' must be an ISO time with offset like 2025-01-31T12:00:00+00:00, got {created!r}")
