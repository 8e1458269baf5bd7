"""How an objective's trials are made, as records keep it, and which earlier verdicts hold under it."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

from flextune.trial.measurement import Measurement, Status


@dataclass(frozen=True, slots=True)
class ObjectiveProtocol:
    """What the verdict on a configuration depends on beside the objective; `str` and `parse` round-trip.

    >>> str(ObjectiveProtocol(repeats=3, timeout_secs=60))
    'repeats=3,timeout_secs=60,build_timeout_secs=0,memory_mib=0,isolated=True'
    """

    repeats: int = 1
    """Numbers of each trial."""
    timeout_secs: float = 0.0
    """The longest that each run may take; 0 for any."""
    build_timeout_secs: float = 0.0
    """The longest that a build may take; 0 for any."""
    memory_mib: int = 0
    """The most memory of a run; 0 for what was free."""
    isolated: bool = True
    """Whether it ran in a process of its own."""

    def __str__(self) -> str:
        return ",".join(f"{each.name}={_text(getattr(self, each.name))}" for each in fields(self))

    @classmethod
    def parse(cls, text: str) -> ObjectiveProtocol:
        """From a record. What the text does not say is as it is by default; `ValueError` for what it says wrongly."""
        said = dict(part.partition("=")[::2] for part in text.split(",") if part)
        return cls(
            int(said.get("repeats", 1)),
            float(said.get("timeout_secs", 0)),
            float(said.get("build_timeout_secs", 0)),
            int(said.get("memory_mib", 0)),
            said.get("isolated", "True") == "True",
        )

    def within(self, secs: float) -> ObjectiveProtocol:
        """The same with limits of at most so many seconds, which are left of a budget."""
        if math.isinf(secs):
            return self
        return replace(
            self,
            timeout_secs=min(self.timeout_secs or secs, secs),
            build_timeout_secs=min(self.build_timeout_secs or secs, secs),
        )

    def accepts(self, measurement: Measurement, made: ObjectiveProtocol) -> bool:
        """Whether a verdict that was `made` in another way holds in this one: it would have been no other here."""
        if measurement.ok:
            ran_secs = measurement.elapsed_secs - measurement.build_secs
            return (
                len(measurement.run_secs) >= self.repeats
                and (_at_most(made.timeout_secs, self.timeout_secs) or _at_most(ran_secs, self.timeout_secs))
                and (
                    _at_most(made.build_timeout_secs, self.build_timeout_secs)
                    or _at_most(measurement.build_secs, self.build_timeout_secs)
                )
            )
        if measurement.status is Status.RUN_TIMEOUT:
            return _at_most(self.timeout_secs, made.timeout_secs)
        if measurement.status is Status.BUILD_TIMEOUT:
            return _at_most(self.build_timeout_secs, made.build_timeout_secs)
        if measurement.status is Status.OUT_OF_MEMORY:
            return self.memory_mib == made.memory_mib or 0 < self.memory_mib <= made.memory_mib
        return True


def _at_most(least: float, most: float) -> bool:
    """Of limits, of which 0 is none."""
    return most == 0 or 0 < least <= most


def _text(value: float | bool) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
