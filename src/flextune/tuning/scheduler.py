"""Sharing one budget among the tasks of a model: the next round goes where it can still gain most.

The estimate follows the gradient scheduler of Ansor (Zheng et al., OSDI 2020, section 6), with a roofline bound in the
place of its similarity term: a task cannot gain more than what lies between its best time and the time that the
machine's measured peaks allow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_RECENT_WEIGHT = 0.3
_WINDOW_ROUNDS = 3
_HOPELESS_ROUNDS = 4
"""So many rounds without one trial that runs, and a task gets nothing more unless all others are done."""


@dataclass(frozen=True, slots=True)
class TaskState:
    """What the scheduler knows about one task."""

    weight: float
    """How often the model runs it."""
    best_secs: tuple[float, ...]
    """The best time after each round, the default's first."""
    bound_secs: float = 0.0
    """The roofline time; 0 when unknown."""
    round_secs: float = 1.0
    """What a round costs."""
    exhausted: bool = False
    """Whether no candidate is left."""


def expected_gain(task: TaskState) -> float:
    """Seconds of the model's time that one more round on this task is expected to save, per second of tuning."""
    if task.exhausted:
        return 0.0
    if not task.best_secs or not math.isfinite(task.best_secs[-1]):
        return math.inf if len(task.best_secs) <= _HOPELESS_ROUNDS else 0.0
    rounds, best = len(task.best_secs), task.best_secs[-1]
    window = min(_WINDOW_ROUNDS, rounds - 1)
    before = task.best_secs[-1 - window]
    recent = (before - best) / window if window and math.isfinite(before) else 0.0
    possible = min(best / rounds, max(0.0, best - task.bound_secs))
    return task.weight * (_RECENT_WEIGHT * recent + (1 - _RECENT_WEIGHT) * possible) / task.round_secs


def next_task(tasks: Mapping[str, TaskState]) -> str | None:
    """The task to spend the next round on: each once in the order given, then by expected gain.

    None when all are exhausted.
    """
    for name, task in tasks.items():
        if not task.best_secs and not task.exhausted:
            return name
    gains = {name: expected_gain(task) for name, task in tasks.items() if not task.exhausted}
    return max(gains, key=gains.__getitem__) if gains else None


def shares(trials: Sequence[int]) -> tuple[float, ...]:
    """Each task's share of all trials; zeros when there were none."""
    total = sum(trials)
    return tuple(count / total if total else 0.0 for count in trials)
