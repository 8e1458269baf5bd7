"""A record in two parts: what it has in common with the others of its run, and what it has of its own.

A database keeps the common part once. `parts_of` and `CommonPart.record` are inverse, field by field.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from operator import contains
from typing import Any

from flextune.csp.assignment import Assignment
from flextune.errors import UsageError
from flextune.quantities import CostOrigin, Scale, Unit
from flextune.trial.record import (
    RECORD_FORMAT,
    REQUIRED_FIELDS,
    Evidence,
    TuningRecord,
    check_names,
    checked_field,
    checked_fields,
    is_of_objective,
    json_object,
)
from flextune.trial.record_check import check_objective, check_program, codes_by_variable

_OWN = ("assignment", "status", "run_secs", "error", "build_secs", "elapsed_secs", "max_error", "created", "metrics")
_VALUES = "values"
"""Stands for `assignment` in an own part: its numbers, in the order of the common part's variables."""
_VARIABLES = "variables"

_KNOWN = dict.fromkeys((*(name for name in _OWN if name != "assignment"), "assignment", _VALUES)).keys()
_REQUIRED = REQUIRED_FIELDS & set(_OWN) - {"assignment"}
_COMMON = REQUIRED_FIELDS - set(_OWN)


@dataclass(frozen=True, slots=True)
class RecordParts:
    """Two texts of JSON."""

    common: str
    """The same for all records of a task in a run: workload, target, schedule, how it was searched and timed."""
    own: str
    """The values that were tried, and what came of it."""


def parts_of(record: TuningRecord) -> RecordParts:
    """Both parts of a record."""
    values = record.json_values()
    own = {name: values.pop(name) for name in _OWN if name in values}
    assignment = record.assigned
    if str(assignment) == record.assignment:
        del own["assignment"]
        own = {_VALUES: list(assignment.values()), **own}
        values[_VARIABLES] = list(assignment)
    return RecordParts(_text(values), _text(own))


class CommonPart:
    """A common part that was read and checked, for the records that share it.

    `UsageError` as `TuningRecord.from_json` raises it.
    """

    def __init__(self, text: str) -> None:
        values = json_object(text)
        version = values.pop("format", None)
        if version != RECORD_FORMAT:
            raise UsageError(f"expected what records of 'format' {RECORD_FORMAT} share, got {version!r}")
        variables = values.pop(_VARIABLES, [])
        if not isinstance(variables, list) or not all(isinstance(name, str) for name in variables):
            raise UsageError(f"field {_VARIABLES!r}: expected names, got {variables!r:.80}")
        if len(set(variables)) < len(variables):
            raise UsageError(f"field {_VARIABLES!r}: a name is there twice")
        self._fields = checked_fields(values, _COMMON)
        if taken := [name for name in _OWN if name in self._fields]:
            raise UsageError(f"the part that records share has a field {taken[0]!r}, which each has of its own")
        self._variables: list[str] = variables
        self._names = [f"{name}=" for name in variables]
        self._is_of_objective = is_of_objective(self._fields["workload"])
        self._codes = codes_by_variable(self._fields["trace"]) if self._is_of_objective else {}
        self._known = [self._codes.get(name, ()) for name in variables]
        if not self._is_of_objective:
            check_program(self._fields["workload"], self._fields["body"])

    @property
    def task(self) -> tuple[object, ...]:
        """What records have in common that may be compared: workload, target, and what their numbers count."""
        unit, origin = self._fields.get("unit", Unit.SECONDS), self._fields.get("origin", CostOrigin.MEASURED)
        return self._fields["workload_key"], self._fields["target_key"], Scale(Unit(unit), CostOrigin(origin))

    @property
    def evidence(self) -> Evidence:
        """What the times of the records stand for."""
        return Evidence(self._fields.get("evidence", Evidence.TRIAL))

    @property
    def model(self) -> str:
        """The model inside of which they were measured; empty otherwise."""
        return str(self._fields.get("model", ""))

    def record(self, text: str) -> TuningRecord:
        """The record with this own part."""
        values = json_object(text)
        check_names(values, _KNOWN, _REQUIRED)
        numbers: list[int] = []
        parsed: Assignment | None = None
        if _VALUES in values:
            numbers = self._checked(values.pop(_VALUES))
            parsed = Assignment(dict(zip(self._variables, numbers, strict=True)))
            values["assignment"] = ",".join(map(str.__add__, self._names, map(str, numbers)))
        elif "assignment" not in values:
            raise UsageError(f"the record lacks {_VALUES!r}")
        own: dict[str, Any] = {name: checked_field(name, value) for name, value in values.items()}
        record = TuningRecord(**self._fields, **own, parsed=parsed)
        if self._is_of_objective and (parsed is None or not self._has_codes(numbers)):
            check_objective(record.trace, record.assigned)
        return record

    def _has_codes(self, numbers: list[int]) -> bool:
        """Whether there is a value for each parameter, which it can have; False where that needs a closer look."""
        return len(numbers) == len(self._codes) and all(map(contains, self._known, numbers))

    def _checked(self, values: object) -> list[int]:
        if not isinstance(values, list) or not set(map(type, values)) <= {int}:
            raise UsageError(f"field {_VALUES!r} of the record: expected whole numbers, got {values!r:.80}")
        if len(values) != len(self._variables):
            raise UsageError(f"the record has {len(values)} values for {len(self._variables)} variables")
        return values


def _text(values: Mapping[str, object]) -> str:
    return json.dumps(values, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
