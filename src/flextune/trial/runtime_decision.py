"""Who runs a model: we, another runtime, or both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from flextune.errors import UsageError
from flextune.plan.parts.words import OURS
from flextune.trial.decided_seconds import seconds, seconds_if_any
from flextune.trial.decision import Decision, Option

BOTH = "both"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeDecision(Decision):
    """Whether we run a model (with what another runtime runs of it, if it is split), or the `rival` all of it, or both.

    `key` is that of its graph, precision and the rival's devices (`optimization/rival.py`).
    """

    KIND: ClassVar[str] = "runtime"

    rival: str
    """The other runtime."""
    chosen: str
    """`flextune`, the rival, or `both`: what is `given` to the rival, and the rest here."""
    own_secs: float
    """Of our build, in turns with the other."""
    rival_secs: float | None
    """Of the rival; None where it failed while it was timed."""
    both_secs: float | None = None
    """Of both; None where that was not timed."""
    given: tuple[str, ...] = ()
    """The nodes that the rival gets where both run it, each by the first value that it writes."""

    def __post_init__(self) -> None:
        if self.chosen not in (OURS, self.rival, BOTH):
            raise UsageError(
                f"decision on model {self.key}: {self.chosen!r} is neither {OURS} nor {self.rival} nor {BOTH}"
            )
        if self.chosen == BOTH and (self.both_secs is None or not self.given):
            raise UsageError(f"decision on model {self.key}: both were chosen without a time, or without nodes")
        if self.chosen == self.rival and self.rival_secs is None:
            raise UsageError(f"decision on model {self.key}: {self.rival} was chosen without a time")

    @property
    def secs(self) -> float:
        """Of what was chosen."""
        found = {OURS: self.own_secs, self.rival: self.rival_secs, BOTH: self.both_secs}[self.chosen]
        assert found is not None  # it has a time
        return found

    @property
    def subject(self) -> str:
        return "who runs the whole model"

    @property
    def answer(self) -> str:
        return self.chosen

    @property
    def options(self) -> tuple[Option, ...]:
        both = () if self.both_secs is None else (Option(BOTH, None, self.both_secs),)
        return Option(OURS, None, self.own_secs), Option(self.rival, None, self.rival_secs), *both

    def _own_values(self) -> dict[str, object]:
        values = {name: getattr(self, name) for name in ("rival", "chosen", "own_secs", "rival_secs")}
        return {**values, "both_secs": self.both_secs, "given": list(self.given)}

    @classmethod
    def _of_values(cls, values: Mapping[str, Any], common: Mapping[str, str]) -> RuntimeDecision:
        return cls(
            **common,
            rival=str(values["rival"]),
            chosen=str(values["chosen"]),
            own_secs=seconds(values["own_secs"]),
            rival_secs=seconds_if_any(values["rival_secs"]),
            both_secs=seconds_if_any(values.get("both_secs")),
            given=tuple(map(str, values.get("given", ()))),
        )
