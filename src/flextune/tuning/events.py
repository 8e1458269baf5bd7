"""What a tuning run tells those who watch it: frozen events, and anything callable to take them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from flextune.trial.measurement import Candidate, Measurement


class Phase(StrEnum):
    """What a run is at, in the order in which it comes; a run has those that it needs."""

    IMPORT = "import"
    """A model is read and split into tasks."""
    DEFAULT_BUILD = "default build"
    """The whole model, by default, is built, checked and timed."""
    LAYOUTS = "layouts"
    """Other orders of axes are tried."""
    TRIALS = "trials"
    """Candidates are measured."""
    FINALISTS = "finalists"
    """The best ones of each task are timed in turns; of a model inside of it."""
    COMPARISON = "comparison"
    """Whole builds are timed in turns, those of other runtimes too."""


@dataclass(frozen=True, slots=True)
class PhaseBegan:
    """The run goes over to another phase."""

    phase: Phase
    """Which."""
    model: str = ""
    """The model, or the part of one, that it is about; empty for a workload."""


@dataclass(frozen=True, slots=True)
class ModelTimed:
    """What a model takes with default schedules, and how often a run of it calls each of its tasks."""

    model: str
    """Its name."""
    default_secs: float
    """Of a run."""
    calls: tuple[tuple[str, int], ...]
    """Tasks by name; what is only one of several possibilities for a part of the model is not among them."""


@dataclass(frozen=True, slots=True)
class TaskOpened:
    """A task's space is ready. `recorded` trials of it are known already, the best of them takes `best_secs`."""

    task: str
    space_size: int
    recorded: int
    best_secs: float
    default_secs: float = math.inf
    """What the default schedule is recorded to take."""


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


Event = PhaseBegan | ModelTimed | TaskOpened | TrialMeasured | RoundFinished | FinalistMeasured
Callback = Callable[[Event], None]
