"""A tuning space that somebody has measured: configurations with their recorded times, failures included."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from flextune.csp.assignment import Assignment, Assignments
from flextune.csp.parameters import Parameters
from flextune.csp.solutions import SolutionSet
from flextune.errors import UsageError
from flextune.trial.measurement import Measurement, Status

Seconds = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TabularTrial:
    """One recorded configuration. Times are in seconds."""

    assignment: Assignment
    """The configuration."""
    status: Status
    """How the trial ended."""
    run_secs: tuple[float, ...] = ()
    """Every repeat; empty unless it ran."""
    error: str = ""
    """How the file calls the failure."""
    build_secs: float = 0.0
    """Of building it."""
    benchmark_secs: float = 0.0
    """What running and timing it took in all."""

    @property
    def secs(self) -> float:
        """Mean of the repeats: what the configuration counts for; infinity for a failure."""
        return math.fsum(self.run_secs) / len(self.run_secs) if self.run_secs else math.inf

    @property
    def charged_secs(self) -> float:
        """What trying it costs: compiling and benchmarking."""
        return self.build_secs + self.benchmark_secs


@dataclass(frozen=True)
class TabularSpace:
    """Recorded trials of one program on one device, each configuration once, in the order of the file.

    `name` is the program, `device` where it ran; both may be empty.
    """

    name: str
    parameters: Parameters
    trials: tuple[TabularTrial, ...]
    device: str = ""
    objective: str = ""
    """What the numbers of its trials stand for, where that is no time in seconds: positive, and smaller is better."""

    def __post_init__(self) -> None:
        if not self.trials:
            raise UsageError(f"space {self.name!r} holds no configurations")
        if len(self.row_of) < len(self.trials):
            raise UsageError(f"space {self.name!r} holds a configuration more than once")
        for trial in self.trials:
            if (trial.status is Status.OK) != bool(trial.run_secs):
                raise UsageError(
                    f"space {self.name!r}: {trial.assignment} is {trial.status} with times {trial.run_secs}"
                )

    def __len__(self) -> int:
        return len(self.trials)

    @cached_property
    def assignments(self) -> Assignments:
        """The configurations, in the order of the trials."""
        return Assignments.of([trial.assignment for trial in self.trials], self.parameters.variable_names)

    @cached_property
    def solutions(self) -> SolutionSet:
        """The configurations as a set to search."""
        return SolutionSet.of_rows(self.assignments)

    @cached_property
    def row_of(self) -> Mapping[Assignment, int]:
        """The position of each assignment among the trials."""
        return {trial.assignment: row for row, trial in enumerate(self.trials)}

    @cached_property
    def secs(self) -> Seconds:
        """Mean seconds of every trial; infinity for failures."""
        return np.array([trial.secs for trial in self.trials], dtype=np.float64)

    @cached_property
    def charged_secs(self) -> Seconds:
        """What trying each configuration costs, in seconds."""
        return np.array([trial.charged_secs for trial in self.trials], dtype=np.float64)

    @property
    def optimum_secs(self) -> float:
        """The best mean time; infinity where everything failed."""
        return float(self.secs.min())

    def measurement(self, row: int, run_secs: tuple[float, ...] | None = None) -> Measurement:
        """The trial as strategies see it: its mean time, or the given times."""
        trial = self.trials[row]
        ran = trial.status is Status.OK
        return Measurement(
            trial.assignment,
            trial.status,
            run_secs=(run_secs or (trial.secs,)) if ran else (),
            error=trial.error,
            build_secs=trial.build_secs,
            elapsed_secs=trial.charged_secs,
        )
