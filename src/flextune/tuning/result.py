"""What a tuning run ends with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from flextune.csp.assignment import Assignment
from flextune.quantities import MEASURED_SECONDS, Scale
from flextune.schedule.trace import Trace


@dataclass(frozen=True, slots=True)
class TuningResult:
    """The outcome for one workload. Costs are in the unit of `scale`, seconds in general; infinite if not measured."""

    workload: str
    """Its text."""
    strategy: str
    """What proposed the candidates."""
    trials: int
    """All recorded ones of the same key."""
    failed: int
    """Those of them that are not ok."""
    best_secs: float
    """The winner's cost."""
    best_gflops: float
    """Its arithmetic per second, in units of 1e9."""
    fraction_of_peak: float
    """That over what the machine can do; 0 where its peak is not known."""
    default_secs: float
    """The default schedule's cost."""
    elapsed_secs: float
    """Wall time of this run."""
    trials_per_sec: float
    """Of this run, from its first trial's end to its last one's: without the final comparison."""
    space_size: int
    """Schedules that satisfy the constraints."""
    db: str
    """Where the trials are recorded."""
    best: Assignment | None = field(default=None, compare=False)
    """The winner's values; None where nothing ran."""
    trace: Trace | None = field(default=None, compare=False)
    """The steps that they complete."""
    interrupted: bool = False
    """Whether Ctrl-C ended the run."""
    scale: Scale = MEASURED_SECONDS
    """What costs count, and how they were found."""
    parts: Mapping[str, float] = field(default_factory=dict, compare=False)
    """What the winner's cost is made of, by name, where that is known."""

    def with_peak(self, peak_flops: float) -> TuningResult:
        """The same with `fraction_of_peak` of a machine that reaches `peak_flops`; unchanged where that is 0."""
        return replace(self, fraction_of_peak=self.best_gflops * 1e9 / peak_flops) if peak_flops else self

    def to_dict(self) -> dict[str, str | int | float | dict[str, float] | None]:
        """The figures of `flextune tune --json`. Of costs that are no times, those in seconds are None."""
        values = {name: getattr(self, name) for name in FIGURES}
        if not self.scale.is_time:
            values |= dict.fromkeys(_OF_TIMES)
        costs = {"best_cost": self.best_secs, "default_cost": self.default_secs}
        return {**values, **costs, "unit": self.scale.unit, "origin": self.scale.origin, "parts": dict(self.parts)}


FIGURES = (
    "workload",
    "strategy",
    "trials",
    "failed",
    "best_secs",
    "best_gflops",
    "fraction_of_peak",
    "default_secs",
    "elapsed_secs",
    "trials_per_sec",
    "space_size",
    "db",
)
REPORTED = (*FIGURES, "best_cost", "default_cost", "unit", "origin", "parts")
_OF_TIMES = ("best_secs", "best_gflops", "fraction_of_peak", "default_secs")


@dataclass(frozen=True, slots=True)
class TaskResult:
    """One task of a model."""

    name: str
    """The task's."""
    workload: str
    """The workload's text."""
    count: int
    """How often the model runs it."""
    trials: int
    """All recorded ones."""
    best_secs: float
    """The winner's time."""
    default_secs: float
    """The default schedule's time."""
    share: float
    """Its part of all trials."""
    tunable: bool = True
    """Whether a rule knows its program; otherwise it keeps its default schedule."""

    def to_dict(self) -> dict[str, str | int | float]:
        return asdict(self)
