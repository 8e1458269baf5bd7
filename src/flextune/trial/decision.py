"""What is kept of a fusion decision: a group's options with predicted and measured times, and why one was chosen."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

from flextune.errors import UsageError

DECISION_FORMAT = 1


@dataclass(frozen=True, slots=True)
class OptionTime:
    """One option of a group, in seconds per group: as predicted, and as measured (None where it was not measured).

    `workloads` are the keys of its kernels; their records hold the trials.
    """

    name: str
    predicted_secs: float
    measured_secs: float | None
    workloads: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FusionDecision:
    """The option chosen for equal groups on one target. `group_key` is the key of the fused kernel's workload.

    `operators` and `pattern` say what is in the group and which pattern grouped it, `reason` why `chosen` was chosen.
    """

    group_key: str
    target_key: str
    operators: str
    pattern: str
    chosen: str
    reason: str
    options: tuple[OptionTime, ...]
    model: str
    created: str

    def __post_init__(self) -> None:
        names = [option.name for option in self.options]
        if self.chosen not in names:
            raise UsageError(f"decision on {self.group_key}: {self.chosen!r} is none of its options {names}")

    def to_json(self) -> str:
        """One line of JSON."""
        fields = ("group_key", "target_key", "operators", "pattern", "chosen", "reason", "model", "created")
        options = [
            {
                "name": option.name,
                "predicted_secs": option.predicted_secs,
                "measured_secs": option.measured_secs,
                "workloads": list(option.workloads),
            }
            for option in self.options
        ]
        values = {name: getattr(self, name) for name in fields}
        return json.dumps({"decision": DECISION_FORMAT, **values, "options": options}, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> FusionDecision:
        """Parse `to_json`'s text; UsageError for anything else."""
        try:
            raw = json.loads(text)
            if raw.pop("decision") != DECISION_FORMAT:
                raise UsageError(f"a decision of format {DECISION_FORMAT} expected: {text[:80]}")
            options = tuple(
                OptionTime(
                    str(option["name"]),
                    _seconds(option["predicted_secs"]),
                    None if option["measured_secs"] is None else _seconds(option["measured_secs"]),
                    tuple(map(str, option["workloads"])),
                )
                for option in raw.pop("options")
            )
            return cls(options=options, **{name: str(value) for name, value in raw.items()})
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UsageError(f"not a fusion decision: {error}: {text[:80]}") from error


def _seconds(value: object) -> float:
    secs = float(str(value))
    if not math.isfinite(secs) or secs < 0:
        raise ValueError(f"seconds expected, got {value}")
    return secs
