"""A cost model learned from earlier tasks, for new ones: other shapes of the same operator, and other operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from flextune.cost.boosting import PAIRS, SQUARED_ERROR, Growth, Trees, grown
from flextune.cost.cost_model import Scores
from flextune.cost.failures import chances, fit_chance
from flextune.cost.features import Features, FeatureTable, Numbers
from flextune.cost.learner import calibrated, scaled_scores
from flextune.cost.shared_features import shared_features
from flextune.cost.task_description import TaskDescription
from flextune.csp.assignment import Assignments
from flextune.errors import UsageError

GROWTH = Growth(rounds=200, max_depth=5, least_rows=3)
LOSSES = ("regression", "ranking")


@dataclass(frozen=True, slots=True)
class TaskRecords:
    """What was measured of one task: assignments of `names` and their times in seconds, infinity for failures."""

    task: TaskDescription
    names: tuple[str, ...]
    assignments: Assignments
    secs: Numbers

    @property
    def table(self) -> FeatureTable:
        return FeatureTable(shared_features(self.names, self.task))


@dataclass(frozen=True, slots=True)
class Training:
    """What a pretrained model was learned from: `operators` has the number of records of each."""

    target: str
    loss: str
    tasks: int
    operators: tuple[tuple[str, int], ...]

    @property
    def records(self) -> int:
        return sum(count for _, count in self.operators)


@dataclass(frozen=True, slots=True)
class PretrainedModel:
    """Expected throughput, relative to the best of the task, and the chance to run, by shared features."""

    training: Training
    """What it has learned from."""
    features: tuple[str, ...]
    """Names, in the order that the trees take them in."""
    trees: Trees
    """The expected throughput."""
    calibration: tuple[float, float] | None
    """Offset and factor from what the trees say to throughputs, where one is known."""
    chance: Trees | None
    """To run; None where nothing failed."""

    def of_task(self, names: Sequence[str], task: TaskDescription) -> Prior:
        """What the model expects of a task with these variables."""
        return Prior(self, FeatureTable(shared_features(names, task)))

    def scores(self, rows: Features) -> Scores:
        raw = self.trees.predict(rows)
        throughput = scaled_scores(raw, self.calibration) if self.calibration is not None else np.maximum(raw, 0)
        return throughput * chances(self.chance, rows)


@dataclass(frozen=True, slots=True)
class Prior:
    """A pretrained model, applied to the assignments of one task."""

    model: PretrainedModel
    table: FeatureTable

    def scores(self, assignments: Assignments) -> Scores:
        return self.model.scores(aligned(self.table, assignments, self.model.features))

    def importance(self) -> Mapping[str, float]:
        gains = dict(zip(self.model.features, self.model.trees.importance().tolist(), strict=True))
        return self.table.shares(np.array([gains.get(name, 0.0) for name in self.table.names]))


def aligned(table: FeatureTable, assignments: Assignments, names: Sequence[str]) -> Features:
    """The features `names` of the assignments, NaN where the task has no such feature."""
    rows = table.rows(assignments)
    place = {name: index for index, name in enumerate(table.names)}
    result = np.full((len(assignments), len(names)), np.nan, dtype=np.float32)
    for index, name in enumerate(names):
        if name in place:
            result[:, index] = rows[:, place[name]]
    return result


def pretrain(
    tasks: Sequence[TaskRecords], target: str, loss: str = "regression", seed: int = 0, growth: Growth = GROWTH
) -> PretrainedModel:
    """Learn from the records of these tasks. `UsageError` where none of them ran, or for an unknown loss."""
    if loss not in LOSSES:
        raise UsageError(f"loss: expected one of {', '.join(LOSSES)}, got {loss!r}")
    useful = [task for task in tasks if np.isfinite(task.secs).any()]
    if not useful:
        raise UsageError(f"nothing to learn from: no record of {target} ran; tune something first")
    names = tuple(sorted({name for task in useful for name in task.table.names}))
    rows = np.concatenate([aligned(task.table, task.assignments, names) for task in useful])
    secs = [task.secs for task in useful]
    ran = np.isfinite(np.concatenate(secs))
    throughput = np.concatenate([each.min() / each for each in secs])[ran]
    groups = [int(np.isfinite(each).sum()) for each in secs]
    if loss == "ranking":
        trees = grown(rows[ran], throughput, PAIRS, growth, seed, groups=groups)
        calibration = calibrated(trees.predict(rows[ran]), throughput)
    else:
        trees = grown(rows[ran], throughput, SQUARED_ERROR.starting_at(float(throughput.mean())), growth, seed)
        calibration = None
    operators: dict[str, int] = {}
    for task in useful:
        operators[task.task.operator] = operators.get(task.task.operator, 0) + len(task.secs)
    training = Training(target, loss, len(useful), tuple(sorted(operators.items())))
    return PretrainedModel(training, names, trees, calibration, fit_chance(rows, ran, seed))
