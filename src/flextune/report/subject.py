"""What all sections of a report speak of: what was read, what is known besides, and how records are named."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from flextune.quantities import amount
from flextune.report.bounds import Bounds
from flextune.report.choices import choices
from flextune.report.contents import Contents
from flextune.report.task_history import TaskHistory
from flextune.trial.decision import GroupDecision
from flextune.trial.record import TuningRecord

TaskKey = tuple[str, str]
"""Keys of workload and target."""


def key_of(task: TaskHistory) -> TaskKey:
    return task.workload_key, task.first.target_key


@dataclass(frozen=True, slots=True)
class Subject:
    """Of one report."""

    contents: Contents
    bounds: Bounds
    spaces: Mapping[TaskKey, int] = field(default_factory=dict)
    """Sizes of search spaces, where they were asked for."""

    def command(self, record: TuningRecord) -> str:
        """To build and time it again; of an objective, which only its owner can run, its values."""
        if record.of_objective:
            return choices(record)
        return f"flextune replay {record.key} --db {shlex.quote(self.contents.database)}"

    def value(self, task: TaskHistory, record: TuningRecord | None) -> str:
        """The time of one of its records, or the number of an objective's."""
        if record is None or not record.measurement.ok:
            return "-"
        return f"{record.secs:.6g}" if task.of_objective else amount(record.secs, record.scale)

    @property
    def group_of(self) -> Mapping[TaskKey, GroupDecision]:
        """The decision that chose each kernel which is in use."""
        return {
            (key, decision.target_key): decision
            for decision in self.contents.decisions
            if isinstance(decision, GroupDecision)
            for each in decision.alternatives
            if each.alternative == decision.chosen
            for key in each.workloads
        }

    def kernels(self) -> list[TaskHistory]:
        """The tasks that builds are made of, with measured times; of decided groups, the chosen alternatives'."""
        programs = [task for task in self.contents.tasks if not task.of_objective and task.first.scale.is_time]
        considered = {
            (key, decision.target_key)
            for decision in self.contents.decisions
            if isinstance(decision, GroupDecision)
            for each in decision.alternatives
            for key in each.workloads
        }
        used = self.group_of
        return [task for task in programs if key_of(task) in used or key_of(task) not in considered]
