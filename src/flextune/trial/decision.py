"""What was decided about a model, and why: its groups, its layouts, whether it ships tuned, and who runs it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Self

from flextune.errors import UsageError
from flextune.plan.alternative import Alternative
from flextune.plan.layouts.layout_assignment import LayoutAssignment
from flextune.printable import json_values
from flextune.quantities import joules
from flextune.registry import Registry
from flextune.trial.decided_seconds import seconds, seconds_if_any
from flextune.trial.format_1 import FORMAT_1, migrated_decision

DECISION_FORMAT = 2


@dataclass(frozen=True, slots=True)
class Option:
    """Something that could have been chosen, in seconds: as predicted, and as measured (None where it was not)."""

    name: str
    predicted_secs: float | None
    measured_secs: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What all kinds of decisions say; each kind is a class of its own that answers one question."""

    KIND: ClassVar[str] = ""
    """The kind's name in `to_json`."""

    key: str
    """What was decided about; each class says what that is."""
    target_key: str
    """The target that it holds for."""
    model: str
    """The model that it was made for."""
    reason: str
    """Why, in words."""
    created: str
    """When, as ISO time."""

    @property
    def subject(self) -> str:
        """What was decided about, in words."""
        raise NotImplementedError

    @property
    def answer(self) -> str:
        """What was chosen: the name of one of the `options`."""
        raise NotImplementedError

    @property
    def options(self) -> tuple[Option, ...]:
        """All that it was chosen from, the default first."""
        raise NotImplementedError

    @property
    def details(self) -> tuple[str, ...]:
        """What else there is to say of it, in lines."""
        return ()

    def to_json(self) -> str:
        """One line of JSON, with the kind of decision."""
        common = {name: getattr(self, name) for name in _COMMON}
        values = {"decision": self.KIND, "format": DECISION_FORMAT, **common, **self._own_values()}
        return json.dumps(values, allow_nan=False)

    @staticmethod
    def from_json(text: str) -> Decision:
        """The decision in `to_json`'s text, whichever kind it is, also of format 1; UsageError for anything else."""
        try:
            values = _migrated(json_values(text))
            if values.get("format") != DECISION_FORMAT:
                raise UsageError(f"a decision of format {FORMAT_1} or {DECISION_FORMAT} expected: {text[:80]}")
            return _KINDS.get(str(values["decision"]))._of_values(values, {name: str(values[name]) for name in _COMMON})
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UsageError(f"not a decision: {error}: {text[:80]}") from error

    def _own_values(self) -> dict[str, object]:
        """What this kind of decision says beside what all say, for JSON."""
        raise NotImplementedError

    @classmethod
    def _of_values(cls, values: Mapping[str, Any], common: Mapping[str, str]) -> Self:
        """From the values of a JSON object, and those of them that all decisions have."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class AlternativeTime:
    """One alternative of a group, in seconds per group: as predicted, and as measured (None where it was not measured).

    `workloads` are the keys of its kernels; their records hold the trials.
    """

    alternative: Alternative
    predicted_secs: float
    measured_secs: float | None
    workloads: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupDecision(Decision):
    """What equal groups of all models are compiled as. `key` is that of the fused kernel's workload.

    `operators` says what is in the group, `pattern` which fusion pattern grouped it; `chosen` is one of the
    `alternatives`.
    """

    KIND: ClassVar[str] = "group"

    operators: str
    pattern: str
    chosen: Alternative
    alternatives: tuple[AlternativeTime, ...]

    def __post_init__(self) -> None:
        known = [each.alternative for each in self.alternatives]
        if self.chosen not in known:
            names = list(map(str, known))
            raise UsageError(f"decision on group {self.key}: {str(self.chosen)!r} is none of its alternatives {names}")

    @property
    def subject(self) -> str:
        return f"{self.operators}, pattern {self.pattern}"

    @property
    def answer(self) -> str:
        return str(self.chosen)

    @property
    def options(self) -> tuple[Option, ...]:
        return tuple(
            Option(str(each.alternative), each.predicted_secs, each.measured_secs) for each in self.alternatives
        )

    def _own_values(self) -> dict[str, object]:
        alternatives = [
            {
                "name": str(each.alternative),
                "predicted_secs": each.predicted_secs,
                "measured_secs": each.measured_secs,
                "workloads": list(each.workloads),
            }
            for each in self.alternatives
        ]
        about = {"operators": self.operators, "pattern": self.pattern, "chosen": str(self.chosen)}
        return {**about, "alternatives": alternatives}

    @classmethod
    def _of_values(cls, values: Mapping[str, Any], common: Mapping[str, str]) -> Self:
        alternatives = tuple(
            AlternativeTime(
                Alternative.parse(str(each["name"])),
                seconds(each["predicted_secs"]),
                seconds_if_any(each["measured_secs"]),
                tuple(map(str, each["workloads"])),
            )
            for each in values["alternatives"]
        )
        return cls(
            **common,
            operators=str(values["operators"]),
            pattern=str(values["pattern"]),
            chosen=Alternative.parse(str(values["chosen"])),
            alternatives=alternatives,
        )


@dataclass(frozen=True, slots=True)
class LayoutTime:
    """The model in some layouts, in seconds per run: as predicted, and as measured (None where it was not built)."""

    layouts: LayoutAssignment
    predicted_secs: float
    measured_secs: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutDecision(Decision):
    """Which layouts a model has. `key` is that of its plan in NHWC (`optimization/layouts.py`).

    `chosen` is one of the layouts that were `tried`; of the plan's `groups`, `free_groups` had several to choose from.
    """

    KIND: ClassVar[str] = "layouts"

    groups: int
    free_groups: int
    chosen: LayoutAssignment
    tried: tuple[LayoutTime, ...]

    def __post_init__(self) -> None:
        tried = [each.layouts for each in self.tried]
        if self.chosen not in tried:
            shown = "; ".join(map(str, tried))
            raise UsageError(
                f"decision on layouts {self.key}: {self.chosen} are none of those that were tried: {shown}"
            )

    @property
    def subject(self) -> str:
        return f"layouts of {self.groups} groups, {self.free_groups} of them with a choice"

    @property
    def answer(self) -> str:
        return str(self.chosen)

    @property
    def options(self) -> tuple[Option, ...]:
        return tuple(Option(str(each.layouts), each.predicted_secs, each.measured_secs) for each in self.tried)

    def _own_values(self) -> dict[str, object]:
        tried = [
            {
                "layouts": str(each.layouts),
                "predicted_secs": each.predicted_secs,
                "measured_secs": each.measured_secs,
            }
            for each in self.tried
        ]
        counts: dict[str, object] = {"groups": self.groups, "free_groups": self.free_groups}
        return {**counts, "chosen": str(self.chosen), "tried": tried}

    @classmethod
    def _of_values(cls, values: Mapping[str, Any], common: Mapping[str, str]) -> Self:
        tried = tuple(
            LayoutTime(
                LayoutAssignment.parse(each["layouts"]),
                seconds(each["predicted_secs"]),
                seconds_if_any(each["measured_secs"]),
            )
            for each in values["tried"]
        )
        return cls(
            **common,
            groups=int(values["groups"]),
            free_groups=int(values["free_groups"]),
            chosen=LayoutAssignment.parse(values["chosen"]),
            tried=tried,
        )


class Shipped(StrEnum):
    """Which build of a model is shipped: the one with default schedules, or the one as the records say."""

    DEFAULT = "default"
    TUNED = "tuned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict(Decision):
    """Whether a model ships tuned or by default.

    `key` is that of its plan and precision (`optimization/verdict.py`).
    """

    KIND: ClassVar[str] = "verdict"

    shipped: Shipped
    """Which build is shipped."""
    kernels: int
    """Distinct kernels of the model."""
    predicted_secs: float
    """What the default build is predicted to take."""
    default_secs: float
    """Of the default build, in turns with the tuned one."""
    tuned_secs: float | None
    """Of the tuned build, in turns with the default one; None where nothing but the default was built."""
    default_joules: float | None = None
    """Energy of a run of the default build, above what the machine takes at rest; None where that cannot be read."""
    tuned_joules: float | None = None
    """The same of the tuned build."""
    failures: tuple[str, ...] = ()
    """In words, which builds crashed, hung, computed something else, or could not be made."""

    def __post_init__(self) -> None:
        if self.shipped is Shipped.TUNED and self.tuned_secs is None:
            raise UsageError(f"verdict on model {self.key}: it ships tuned, but no tuned build was timed")

    @property
    def subject(self) -> str:
        return f"the whole model, {self.kernels} distinct kernels"

    @property
    def answer(self) -> str:
        return str(self.shipped)

    @property
    def options(self) -> tuple[Option, ...]:
        default = Option(Shipped.DEFAULT.value, self.predicted_secs, self.default_secs)
        return default, Option(Shipped.TUNED.value, self.predicted_secs, self.tuned_secs)

    @property
    def details(self) -> tuple[str, ...]:
        """The energy of a run, where it could be read."""
        named = ((Shipped.DEFAULT, self.default_joules), (Shipped.TUNED, self.tuned_joules))
        found = ", ".join(f"{name} {joules(value)}" for name, value in named if value is not None)
        return (f"energy of a run above rest: {found}",) if found else ()

    def _own_values(self) -> dict[str, object]:
        names = ("shipped", "kernels", "predicted_secs", "default_secs", "tuned_secs")
        energy = {name: value for name in _JOULES if (value := getattr(self, name)) is not None}
        return {**{name: getattr(self, name) for name in names}, **energy, "failures": list(self.failures)}

    @classmethod
    def _of_values(cls, values: Mapping[str, Any], common: Mapping[str, str]) -> Self:
        return cls(
            **common,
            shipped=Shipped(values["shipped"]),
            kernels=int(values["kernels"]),
            predicted_secs=seconds(values["predicted_secs"]),
            default_secs=seconds(values["default_secs"]),
            tuned_secs=seconds_if_any(values["tuned_secs"]),
            default_joules=seconds_if_any(values.get("default_joules")),
            tuned_joules=seconds_if_any(values.get("tuned_joules")),
            failures=tuple(map(str, values.get("failures", ()))),
        )


_JOULES = ("default_joules", "tuned_joules")
_COMMON = ("key", "target_key", "model", "reason", "created")
_HERE: dict[str, type[Decision] | str] = {kind.KIND: kind for kind in (GroupDecision, LayoutDecision, Verdict)}
_ELSEWHERE = {
    "runtime": "flextune.trial.runtime_decision:RuntimeDecision",
    "variants": "flextune.trial.variants_decision:VariantsDecision",
}
_KINDS = Registry("kind of decision", {**_HERE, **_ELSEWHERE})


def _migrated(values: Any) -> Mapping[str, Any]:
    return migrated_decision(values) if values.get("decision") == FORMAT_1 else values
