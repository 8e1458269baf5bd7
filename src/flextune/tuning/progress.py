"""The state of a run as its watchers see it: counted from events, shown by any view."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

from flextune.trial.cause import cause
from flextune.trial.measurement import Measurement
from flextune.tuning.events import Event, FinalistMeasured, TaskOpened, TrialMeasured


@dataclass(slots=True)
class TaskProgress:
    """One task's figures; times in seconds, infinite while nothing is measured."""

    name: str
    space_size: int
    recorded: int = 0
    trials: int = 0
    first_secs: float = math.inf
    best_secs: float = math.inf


@dataclass(slots=True)
class Progress:
    """A callback that counts: trials, failures by cause, the best time of each task."""

    tasks: dict[str, TaskProgress] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)
    measured: int = 0
    failed: int = 0
    comparing: bool = False
    current: str = ""

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


def failure_text(measurement: Measurement) -> str:
    """What a failure is grouped by: its status and cause."""
    return f"{measurement.status}: {cause(measurement.error)}" if measurement.error else str(measurement.status)
