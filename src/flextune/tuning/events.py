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
    """One trial is over."""

    task: str
    """The task's name."""
    candidate: Candidate
    """What was measured."""
    measurement: Measurement
    """What came of it."""
    trials: int
    """The task's so far, this one included."""
    best_secs: float
    """The task's best time so far, this trial's included."""


@dataclass(frozen=True, slots=True)
class RoundFinished:
    """The strategy was told the measurements of a round."""

    task: str
    """The task's name."""
    number: int
    """The round's."""
    trials: int
    """The task's so far."""
    failed: int
    """Those of all the task's trials that are not ok."""
    best_secs: float
    """The task's best time so far."""
    mean_secs: float
    """Over the round's ok trials; infinity without one."""
    elapsed_secs: float
    """Wall time of the round."""


@dataclass(frozen=True, slots=True)
class FinalistMeasured:
    """A finalist's times from the interleaved comparison: the evidence that counts from now on."""

    task: str
    candidate: Candidate
    measurement: Measurement


Event = TaskOpened | TrialMeasured | RoundFinished | FinalistMeasured
Callback = Callable[[Event], None]
