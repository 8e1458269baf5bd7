"""What is measured (`Candidate`) and what came of it (`Measurement`)."""

from __future__ import annotations

import hashlib
import math
import statistics
from dataclasses import dataclass, field
from enum import StrEnum

from flextune.csp.assignment import Assignment
from flextune.schedule.trace import Trace
from flextune.target.target import Target
from flextune.trial.artifact import CompilerReport
from flextune.workload.workload import Workload


class Status(StrEnum):
    """How a trial ended. All of them are recorded; strategies and cost models learn from all of them."""

    OK = "ok"
    INFEASIBLE = "infeasible"
    BUILD_ERROR = "build_error"
    BUILD_TIMEOUT = "build_timeout"
    RUN_ERROR = "run_error"
    RUN_TIMEOUT = "run_timeout"
    OUT_OF_MEMORY = "out_of_memory"
    WRONG_OUTPUT = "wrong_output"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One point of a search space, with all that is needed to build and run it."""

    workload: Workload
    target: Target
    trace: Trace
    assignment: Assignment

    @property
    def key(self) -> str:
        """Short stable hex: equal keys build the same program."""
        return candidate_key(self.workload.key, self.target.key, self.trace.to_json(), self.assignment)


def candidate_key(workload_key: str, target_key: str, trace: str, assignment: Assignment) -> str:
    """Key of a candidate from its parts; the order of names in the assignment does not matter."""
    values = ",".join(f"{name}={assignment[name]}" for name in sorted(assignment))
    text = "\n".join((workload_key, target_key, trace, values))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Measurement:
    """The outcome of one trial."""

    assignment: Assignment
    """The candidate's values."""
    status: Status
    """How the trial ended."""
    run_secs: tuple[float, ...] = ()
    """Every raw repeat in seconds, or in the unit of the run's scale; empty unless the program ran."""
    error: str = ""
    """What went wrong, in words; empty for a trial that is ok."""
    build_secs: float = 0.0
    """Of building it."""
    elapsed_secs: float = 0.0
    """Of the whole trial."""
    max_error: float = 0.0
    """The largest absolute difference from the reference."""
    metrics: tuple[tuple[str, float], ...] = ()
    """What else was measured, by name: of an objective, the median of its repeats; of a cost, its parts."""
    report: CompilerReport = field(default_factory=CompilerReport)
    """What the compiler said, where the program was compiled; it is not recorded."""

    @property
    def ok(self) -> bool:
        return self.status is Status.OK

    @property
    def secs(self) -> float:
        """Median of `run_secs`; infinity for a failed trial."""
        if len(self.run_secs) == 1 and self.ok:  # of a hundred thousand of them the median takes a second
            return self.run_secs[0]
        return statistics.median(self.run_secs) if self.ok and self.run_secs else math.inf
