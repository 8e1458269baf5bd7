"""The state of a run as its watchers see it: counted from events, shown by any view."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

from flextune.trial.cause import failure_text
from flextune.tuning.events import Event, FinalistMeasured, TaskOpened, TrialMeasured


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
    """The first time measured in this run."""
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
    comparing: bool = False
    """Whether finalists are being compared."""
    current: str = ""
    """The task of the last event."""

    def __call__(self, event: Event) -> None:
        self.current = event.task
        if isinstance(event, TaskOpened):
            recorded, best_secs = event.recorded, event.best_secs
            self.tasks[event.task] = TaskProgress(event.task, event.space_size, recorded, recorded, best_secs=best_secs)
        elif isinstance(event, TrialMeasured):
            self._count(event)
        elif isinstance(event, FinalistMeasured):
            self.comparing = True

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
