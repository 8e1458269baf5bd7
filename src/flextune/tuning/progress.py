"""The state of a run as its watchers see it: counted from events, shown by any view."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

from flextune.trial.cause import failure_text
from flextune.tuning.events import (
    Event,
    FinalistMeasured,
    ModelTimed,
    Phase,
    PhaseBegan,
    RoundFinished,
    TaskOpened,
    TrialMeasured,
)


@dataclass(slots=True)
class TaskProgress:
    """One task's figures; times in seconds, infinite while nothing is measured."""

    name: str
    """The task's."""
    space_size: int
    """Members of its space."""
    recorded: int = 0
    """Trials of earlier runs."""
    trials: int = 0
    """All trials, recorded ones included."""
    first_secs: float = math.inf
    """What the default takes, or else the first time that was measured."""
    best_secs: float = math.inf
    """The best time, recorded ones included."""


@dataclass(slots=True)
class Progress:
    """A callback that counts: trials, failures by cause, the best time of each task."""

    tasks: dict[str, TaskProgress] = field(default_factory=dict)
    """By name, in the order in which they were opened."""
    failures: Counter[str] = field(default_factory=Counter)
    """How often each cause occurred."""
    measured: int = 0
    """Trials of this run."""
    failed: int = 0
    """Those of them that are not ok."""
    phase: Phase | None = None
    """What the run is at."""
    model: str = ""
    """The model that the phase is about."""
    timed: ModelTimed | None = None
    """The model with default schedules, once it was timed."""
    current: str = ""
    """The task of the last event."""

    def __call__(self, event: Event) -> None:
        if isinstance(event, PhaseBegan):
            self.phase, self.model = event.phase, event.model or self.model
        elif isinstance(event, ModelTimed):
            self.timed = event
        elif isinstance(event, TaskOpened):
            self.tasks[event.task] = TaskProgress(
                event.task, event.space_size, event.recorded, event.recorded, event.default_secs, event.best_secs
            )
        elif isinstance(event, TrialMeasured):
            self._count(event)
        if isinstance(event, TaskOpened | TrialMeasured | RoundFinished | FinalistMeasured):
            self.current = event.task

    @property
    def expected_secs(self) -> float | None:
        """Of the whole model with the best schedules so far, if it gains what its kernels gain alone."""
        if self.timed is None:
            return None
        called = [(self.tasks[name], count) for name, count in self.timed.calls if name in self.tasks]
        known = [(task, count) for task, count in called if math.isfinite(task.first_secs)]
        before = sum(count * task.first_secs for task, count in known)
        after = sum(count * min(task.first_secs, task.best_secs) for task, count in known)
        return self.timed.default_secs * after / before if before > 0 else None

    @property
    def recorded(self) -> int:
        return sum(task.recorded for task in self.tasks.values())

    def _count(self, event: TrialMeasured) -> None:
        task = self.tasks[event.task]
        task.trials, task.best_secs = event.trials, event.best_secs
        if not math.isfinite(task.first_secs):
            task.first_secs = event.measurement.secs
        self.measured += 1
        if not event.measurement.ok:
            self.failed += 1
            self.failures[failure_text(event.measurement)] += 1
