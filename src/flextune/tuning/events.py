"""What a tuning run tells those who watch it: frozen events, and anything callable to take them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flextune.trial.measurement import Candidate, Measurement


@dataclass(frozen=True, slots=True)
class TaskOpened:
    """A task's space is ready. `recorded` trials of it are known already, the best of them takes `best_secs`."""

    task: str
    space_size: int
    recorded: int
    best_secs: float


@dataclass(frozen=True, slots=True)
class TrialMeasured:
    """One trial is over. `trials` and `best_secs` are the task's, this trial included."""

    task: str
    candidate: Candidate
    measurement: Measurement
    trials: int
    best_secs: float


@dataclass(frozen=True, slots=True)
class RoundFinished:
    """The strategy was told the measurements of a round. `mean_secs` is over its ok trials, infinity without one."""

    task: str
    number: int
    trials: int
    failed: int
    best_secs: float
    mean_secs: float
    elapsed_secs: float


@dataclass(frozen=True, slots=True)
class FinalistMeasured:
    """A finalist's times from the interleaved comparison: the evidence that counts from now on."""

    task: str
    candidate: Candidate
    measurement: Measurement


Event = TaskOpened | TrialMeasured | RoundFinished | FinalistMeasured
Callback = Callable[[Event], None]
