"""What is kept of a trial: everything needed to build it again and to trust its result."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata

from flextune.csp.assignment import Assignment
from flextune.errors import UsageError
from flextune.trial.measurement import Candidate, Measurement, Status, candidate_key
from flextune.trial.record_check import check_objective, check_program

RECORD_FORMAT = 1
OBJECTIVE = "objective:"
"""With this the workload of a record begins that is of no tensor program, but of a function or command that somebody
minimises: `body` says what was measured, `trace` holds the parameters, and `run_secs` numbers of any sign."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Who measured: what is the same for all records of one tuning run."""

    protocol: str
    versions: str
    seed: int
    strategy: str
    host: str


@dataclass(frozen=True, slots=True)
class TuningRecord:
    """One trial as text and numbers; `to_json` and `from_json` round-trip on one line.

    `workload`, `body` and `constants` rebuild the workload; `target`, `trace` and `assignment` rebuild the
    program. `run_secs` holds every raw repeat. `max_error` is infinite when an element was not a number.
    """

    workload: str
    body: str | None
    constants: tuple[int, ...]
    workload_key: str
    target: str
    target_key: str
    trace: str
    assignment: str
    status: Status
    run_secs: tuple[float, ...]
    error: str
    build_secs: float
    elapsed_secs: float
    max_error: float
    protocol: str
    versions: str
    seed: int
    strategy: str
    host: str
    created: str

    def __post_init__(self) -> None:
        if self.status is Status.OK and not self.run_secs:
            raise UsageError("a record with status 'ok' needs at least one time in 'run_secs'")
        if any(not math.isfinite(secs) or (secs <= 0 and not self.of_objective) for secs in self.run_secs):
            raise UsageError(f"'run_secs' must be positive, finite seconds, got {list(self.run_secs)}")
        Assignment.parse(self.assignment)
        _check_created(self.created)

    @classmethod
    def of(
        cls, candidate: Candidate, measurement: Measurement, provenance: Provenance, created: datetime | None = None
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
            **_values(measurement, ("status", "run_secs", "error", "build_secs", "elapsed_secs", "max_error")),
            **_values(provenance, ("protocol", "versions", "seed", "strategy", "host")),
        )

    @property
    def of_objective(self) -> bool:
        """Whether this is a trial of an objective and not of a tensor program."""
        return self.workload.startswith(OBJECTIVE)

    @property
    def key(self) -> str:
        """The same as `Candidate.key` of the candidate: equal keys build the same program."""
        return candidate_key(self.workload_key, self.target_key, self.trace, Assignment.parse(self.assignment))

    @property
    def measurement(self) -> Measurement:
        """What the strategies and cost models learn from."""
        fields = ("status", "run_secs", "error", "build_secs", "elapsed_secs", "max_error")
        return Measurement(assignment=Assignment.parse(self.assignment), **_values(self, fields))

    @property
    def secs(self) -> float:
        """Median run time in seconds; infinity for a failed trial."""
        return self.measurement.secs

    def to_json(self) -> str:
        """One line of JSON."""
        values: dict[str, object] = {"format": RECORD_FORMAT, **_values(self, tuple(_TYPES))}
        if not math.isfinite(self.max_error):
            values["max_error"] = None
        return json.dumps(values, allow_nan=False, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> TuningRecord:
        """Inverse of `to_json`.

        Raises `UsageError` naming the field that is missing, unknown or of the wrong type, and for a program that does
        more than compute.
        """
        values = _json_object(text)
        _check_format(values.pop("format", None))
        _check_names(values)
        fields: dict[str, typing.Any] = {name: _field(name, values[name]) for name in _TYPES}
        record = cls(**fields)
        if record.of_objective:
            check_objective(record.trace, record.assignment)
        else:
            check_program(record.workload, record.body)
        return record


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


def _json_object(text: str) -> dict[str, object]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"expected a tuning record as one JSON object: {error}") from None
    if not isinstance(values, dict):
        raise UsageError(f"expected a tuning record as a JSON object, got {type(values).__name__}")
    return values


def _check_format(version: object) -> None:
    if version != RECORD_FORMAT:
        raise UsageError(f"expected a tuning record of 'format' {RECORD_FORMAT}, got {version!r}")


def _check_names(values: Mapping[str, object]) -> None:
    if missing := [name for name in _TYPES if name not in values]:
        raise UsageError(f"the record lacks {', '.join(map(repr, missing))}")
    for name in values:
        if name not in _TYPES:
            close = difflib.get_close_matches(name, list(_TYPES), 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise UsageError(f"the record has an unknown field {name!r}{hint}")


def _field(name: str, value: object) -> object:
    if name == "max_error" and value is None:
        return math.inf
    try:
        return _CONVERT[_TYPES[name]](value)
    except (TypeError, ValueError):
        raise UsageError(f"field {name!r} of the record: expected {_TYPES[name]}, got {value!r:.80}") from None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


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


_CONVERT: Mapping[str, typing.Callable[[typing.Any], object]] = {
    "str": _text,
    "str | None": lambda value: None if value is None else _text(value),
    "int": _integer,
    "float": _number,
    "Status": lambda value: Status(_text(value)),
    "tuple[int, ...]": lambda value: tuple(map(_integer, _list(value))),
    "tuple[float, ...]": lambda value: tuple(map(_number, _list(value))),
}
_TYPES: Mapping[str, str] = {field.name: str(field.type) for field in dataclasses.fields(TuningRecord)}


def _check_created(created: str) -> None:
    try:
        known = datetime.fromisoformat(created).utcoffset() is not None
    except ValueError:
        known = False
    if not known:
        raise UsageError(f"'created' must be an ISO time with offset like 2025-01-31T12:00:00+00:00, got {created!r}")
