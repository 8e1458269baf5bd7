"""How a run of `minimize` makes its trials, as one frozen value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import psutil

from flextune.errors import UsageError
from flextune.measure.objective_protocol import ObjectiveProtocol
from flextune.measure.watch import RunLimits
from flextune.registry import nearest
from flextune.target.cgroup import memory_limit_bytes
from flextune.target.host import ROOT


@dataclass(frozen=True, slots=True)
class MinimizeOptions:
    """How trials are made.

    A crash, a hang or a memory hog of an `isolated` function costs one trial; what it changes is not seen outside.
    """

    repeats: int = 1
    """Calls or runs of the objective in each trial."""
    timeout_secs: float = 60.0
    """The longest that each of them may take."""
    build_timeout_secs: float = 120.0
    """The longest that a command's build may take."""
    memory_bytes: int = 0
    """The most RAM of a trial; 0: three quarters of what is free when the run starts."""
    isolated: bool = True
    """Whether a function lives in a process of its own; where processes cannot be forked, it runs in this one."""
    resume: bool = True
    """Whether recorded trials are taken for known."""

    workers: int = 1
    """Trials that are made at the same time, each in a process of its own; they may disturb each other's times."""
    finalists: int = 0
    """How many of the best are measured again at the end, in turns, three times each; 0 for none."""
    stop_value: float | None = None
    """The run ends with a trial that is as good as this."""

    def __post_init__(self) -> None:
        for name, least in (("repeats", 1), ("workers", 1), ("finalists", 0), ("memory_bytes", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise UsageError(f"{name} must be at least {least}, and a whole number, got {value!r:.80}")
        for name in ("timeout_secs", "build_timeout_secs", "stop_value"):
            value = getattr(self, name)
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float | None)
                or (value is None) != (name == "stop_value" and self.stop_value is None)
            ):
                raise UsageError(f"{name} must be a number, got {value!r:.80}")
        for name in ("isolated", "resume"):
            if not isinstance(getattr(self, name), bool):
                raise UsageError(f"{name} must be True or False, got {getattr(self, name)!r:.80}")

    def changed(self, more: Mapping[str, float | bool]) -> MinimizeOptions:
        """The same with other values of some fields. `UsageError` for an unknown one, with the nearest name."""
        known = tuple(each.name for each in fields(self))
        for name in more:
            if name not in known:
                raise UsageError(f"unknown option {name!r} of minimize: {nearest(name, known)}")
        return replace(self, **more)  # type: ignore[arg-type]

    def limits(self, timeout_secs: float) -> RunLimits:
        """What one run may take."""
        return RunLimits(timeout_secs, self.memory_bytes or _free_bytes() * 3 // 4)

    @property
    def protocol(self) -> ObjectiveProtocol:
        """As records keep it."""
        return ObjectiveProtocol(
            self.repeats, self.timeout_secs, self.build_timeout_secs, self.memory_bytes >> 20, self.isolated
        )


def _free_bytes() -> int:
    """Memory that is free on this machine, and within what this process may use of it."""
    free = int(psutil.virtual_memory().available)
    return min(free, memory_limit_bytes(ROOT) or free)
