"""A trace: the ordered steps of a schedule with open parameters. With an assignment it is a program."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import UnionType
from typing import TYPE_CHECKING, Union, get_args, get_origin, get_type_hints

from flextune.errors import ScheduleError, UsageError
from flextune.printable import json_values
from flextune.schedule.step_kinds import step_kinds

if TYPE_CHECKING:
    from flextune.schedule.step import Step

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


@dataclass(frozen=True, slots=True)
class Trace:
    """Frozen steps; the text form is JSON, parsed field by field and never executed.

    >>> Trace.from_json('[{"step": "mark", "loop": "i", "how": "parallel"}]').python({})
    'sch.parallel(i)'
    """

    steps: tuple[Step, ...]

    def to_json(self) -> str:
        """Compact JSON; `Trace.from_json` is its inverse."""
        return json.dumps([_encode(step) for step in self.steps], separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Trace:
        """Raises `UsageError` when the text is not a trace."""
        try:
            raw = json_values(text)
            if not isinstance(raw, list):
                raise UsageError(f"a trace is a JSON list of steps, got {type(raw).__name__}")
            return cls(tuple(_decode(item) for item in raw))
        except ValueError as error:
            raise UsageError(f"a trace is a JSON list of steps; this is not JSON: {error}") from None
        except RecursionError:
            raise UsageError("a trace is a JSON list of steps; this is nested too deeply") from None

    def python(self, assignment: Mapping[str, int]) -> str:
        """Readable TVM schedule code over a schedule `sch`, one step a line, with the assignment's values."""
        return "\n".join(filter(None, (step.python(assignment) for step in self.steps)))


def _encode(step: Step) -> dict[str, Json]:
    fields: dict[str, Json] = {"step": step.kind}
    for item in dataclasses.fields(step):  # type: ignore[arg-type]
        value = getattr(step, item.name)
        if value != item.default:
            fields[item.name] = _encode_value(value)
    return fields


def _encode_value(value: object) -> Json:
    if isinstance(value, tuple):
        return [_encode_value(item) for item in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    return _encode(value)  # type: ignore[arg-type]


def _decode(raw: object) -> Step:
    name = raw.get("step") if isinstance(raw, dict) else None
    if not isinstance(raw, dict) or not isinstance(name, str) or name not in step_kinds().names:
        raise UsageError(f"unknown step {raw!r:.80}; known steps: {', '.join(step_kinds().names)}")
    kind = step_kinds().get(name)
    hints = _field_types(kind)
    if extra := set(raw) - set(hints) - {"step"}:
        raise UsageError(f"step {name!r} has no field {sorted(extra)[0]!r}; it has {', '.join(sorted(hints))}")
    values = {field: _decode_value(value) for field, value in raw.items() if field != "step"}
    for field, value in values.items():
        if not _fits(value, hints[field]):
            raise UsageError(f"step {name!r}: field {field!r} cannot be {raw[field]!r:.80}")
    try:
        return kind(**values)
    except (TypeError, ScheduleError) as error:
        raise UsageError(f"step {name!r}: {error}") from None


def _decode_value(value: object) -> object:
    if isinstance(value, list):
        return tuple(_decode_value(item) for item in value)
    if isinstance(value, dict):
        return _decode(value)
    return value


def _field_types(kind: type[Step]) -> dict[str, object]:
    hints = get_type_hints(kind)
    return {item.name: hints[item.name] for item in dataclasses.fields(kind)}  # type: ignore[arg-type]


def _fits(value: object, hint: object) -> bool:
    """Whether a decoded value is of a field's type: a union, a tuple or a plain class."""
    arguments = get_args(hint)
    if get_origin(hint) in (UnionType, Union):
        return any(_fits(value, option) for option in arguments)
    if get_origin(hint) is not tuple:
        return isinstance(value, hint) and not (hint is int and isinstance(value, bool))  # type: ignore[arg-type]
    if not isinstance(value, tuple):
        return False
    if arguments[-1] is Ellipsis:
        return all(_fits(item, arguments[0]) for item in value)
    return len(value) == len(arguments) and all(map(_fits, value, arguments))
