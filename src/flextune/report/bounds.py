"""How near a task is to the least time that it can take on the machine that measured it."""

from __future__ import annotations

from dataclasses import dataclass, field

from flextune.analysis.roofline import Roofline, roofline
from flextune.errors import EnvironmentFault, UsageError
from flextune.platforms.estimator import TargetEstimator
from flextune.report.task_history import TaskHistory
from flextune.target.host import host
from flextune.target.peaks import Peaks, peaks_of
from flextune.target.target import Target
from flextune.workload.parse import parse_workload
from flextune.workload.work import Work


@dataclass(frozen=True, slots=True)
class TaskBound:
    """A task's work, and its place under the roofline."""

    task: TaskHistory
    work: Work
    bound: Roofline

    @property
    def share(self) -> float:
        """Of the bound in the best time: 1 is as fast as the machine can be."""
        return self.bound.bound_secs / self.task.best_secs

    @property
    def left_secs(self) -> float:
        """What is above the bound."""
        return max(0.0, self.task.best_secs - self.bound.bound_secs)

    @property
    def intensity(self) -> float:
        """Operations per byte."""
        return self.work.operations / self.work.bytes

    @property
    def rate(self) -> float:
        """Operations a second at the best time."""
        return self.work.operations / self.task.best_secs


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of the tasks for which there is one, and why there is none for others."""

    known: tuple[TaskBound, ...]
    unknown: tuple[tuple[str, int], ...]
    """Reasons, and how many tasks have each."""
    _by_task: dict[tuple[str, str], TaskBound] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        own = {(each.task.workload_key, each.task.first.target_key): each for each in self.known}
        object.__setattr__(self, "_by_task", own)

    def of(self, task: TaskHistory) -> TaskBound | None:
        found = self._by_task.get((task.workload_key, task.first.target_key))
        return found if task.first.scale.is_time else None


def task_bounds(tasks: tuple[TaskHistory, ...]) -> Bounds:
    """From this host's peaks as they were measured before: nothing is measured here."""
    known: list[TaskBound] = []
    unknown: dict[str, int] = {}
    peaks: dict[str, Peaks | str] = {}
    for task in tasks:
        found = _bound(task, peaks)
        if isinstance(found, TaskBound):
            known.append(found)
        else:
            unknown[found] = unknown.get(found, 0) + 1
    return Bounds(tuple(known), tuple(unknown.items()))


def _bound(task: TaskHistory, peaks: dict[str, Peaks | str]) -> TaskBound | str:
    """A reason where there is none."""
    best, first = task.comparison.best, task.first
    if not first.scale.is_time:
        return f"its costs are {first.scale}"
    if task.of_objective:
        return "an objective has no bound"
    if best is None:
        return "nothing ran"
    if best.host != host().fingerprint:
        return "measured on another machine, whose peaks are not known here: make the report there"
    known = peaks.setdefault(first.target, "") or _peaks(first.target)
    peaks[first.target] = known
    if isinstance(known, str):
        return known
    try:
        work, target = Work.of(parse_workload(first.workload, first.body)), Target.parse(first.target)
        if not known.knows(work.dtype) or work.operations <= 0 or work.bytes <= 0:
            return "no peak is measured for its element type, or it has no arithmetic"
        bound = roofline(work, target, known, TargetEstimator(target, known).cost(work))
    except UsageError as error:
        return str(error)
    return TaskBound(task, work, bound) if bound.bound_secs > 0 else "no bound is known"


def _peaks(target: str) -> Peaks | str:
    try:
        found = peaks_of(Target.parse(target), measure_missing=False)
    except (UsageError, EnvironmentFault) as error:
        return str(error)
    return found or "this machine's peaks are not measured yet: `flextune doctor` measures them"
