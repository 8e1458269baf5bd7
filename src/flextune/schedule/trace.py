"""A trace: the ordered steps of a schedule with open parameters. With an assignment it is a program."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flextune.errors import UsageError

if TYPE_CHECKING:
    from flextune.schedule.steps import Step

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
            raw = json.loads(text)
        except json.JSONDecodeError as error:
            raise UsageError(f"a trace is a JSON list of steps; this is not JSON: {error}") from None
        if not isinstance(raw, list):
            raise UsageError(f"a trace is a JSON list of steps, got {type(raw).__name__}")
        return cls(tuple(_decode(item) for item in raw))

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
    from flextune.schedule.steps import STEP_KINDS  # the steps need TVM; a trace as text does not

    if not isinstance(raw, dict) or raw.get("step") not in STEP_KINDS:
        raise UsageError(f"unknown step {raw!r:.80}; known steps: {', '.join(STEP_KINDS)}")
    kind = STEP_KINDS[raw["step"]]
    known = {item.name for item in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if extra := set(raw) - known - {"step"}:
        raise UsageError(f"step {raw['step']!r} has no field {sorted(extra)[0]!r}; it has {', '.join(sorted(known))}")
    try:
        return kind(**{name: _decode_value(value) for name, value in raw.items() if name != "step"})
    except TypeError as error:
        raise UsageError(f"step {raw['step']!r}: {error}") from None


def _decode_value(value: object) -> object:
    if isinstance(value, list):
        return tuple(_decode_value(item) for item in value)
    if isinstance(value, dict):
        return _decode(value)
    return value
