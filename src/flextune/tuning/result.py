"""What a tuning run ends with."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace

from flextune.csp.assignment import Assignment
from flextune.schedule.trace import Trace


@dataclass(frozen=True, slots=True)
class TuningResult:
    """The outcome for one workload. Times are seconds; what was never measured is infinite.

    `trials` and `failed` count recorded trials of the same key too; `trials_per_sec` only those of this run, from the
    first one's end to the last one's, the final comparison left out.
    """

    workload: str
    strategy: str
    trials: int
    failed: int
    best_secs: float
    best_gflops: float
    fraction_of_peak: float
    default_secs: float
    elapsed_secs: float
    trials_per_sec: float
    space_size: int
    db: str
    best: Assignment | None = field(default=None, compare=False)
    trace: Trace | None = field(default=None, compare=False)
    interrupted: bool = False

    def with_peak(self, peak_flops: float) -> TuningResult:
        """The same with `fraction_of_peak` of a machine that reaches `peak_flops`; unchanged where that is 0."""
        return replace(self, fraction_of_peak=self.best_gflops * 1e9 / peak_flops) if peak_flops else self

    def to_dict(self) -> dict[str, str | int | float]:
        """The twelve figures of `flextune tune --json`."""
        return {name: getattr(self, name) for name in REPORTED}


REPORTED = (
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


@dataclass(frozen=True, slots=True)
class TaskResult:
    """One task of a model.

    `count` is how often the model runs it, `share` its part of all trials; a task that is not `tunable` has no rule
    yet and keeps its default schedule.
    """

    name: str
    workload: str
    count: int
    trials: int
    best_secs: float
    default_secs: float
    share: float
    tunable: bool = True

    def to_dict(self) -> dict[str, str | int | float]:
        return asdict(self)
