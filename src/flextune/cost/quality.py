"""How good a ranking is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from flextune.cost.features import Numbers
from flextune.cost.pretrained import PretrainedModel, TaskRecords, pretrain


def rank_correlation(scores: Numbers, truth: Numbers) -> float:
    """Spearman's coefficient, equal values with their mean rank; 0 where one side is constant."""
    ranks = _ranks(scores), _ranks(truth)
    if min(each.std() for each in ranks) == 0:
        return 0.0
    return float(np.corrcoef(*ranks)[0, 1])


def best_of_top(scores: Numbers, throughput: Numbers, count: int) -> float:
    """The best throughput among the `count` rows scored highest, relative to the best of all; 0 where nothing ran."""
    best = throughput.max(initial=0.0)
    top = np.argsort(-scores, kind="stable")[:count]
    return float(throughput[top].max() / best) if best > 0 else 0.0


def held_out_correlation(tasks: Sequence[TaskRecords], target: str, loss: str, parts: int = 4) -> float:
    """Mean rank correlation on tasks that the model was not trained on: each part of the tasks is left out once.

    NaN for fewer than two tasks.
    """
    ran = [task for task in tasks if np.isfinite(task.secs).any()]
    parts = min(parts, len(ran))
    found = []
    for part in range(parts if parts > 1 else 0):
        model = pretrain([task for index, task in enumerate(ran) if index % parts != part], target, loss)
        found += [expected_correlation(model, task) for task in ran[part::parts]]
    return float(np.mean(found)) if found else float("nan")


def expected_correlation(model: PretrainedModel, task: TaskRecords) -> float:
    """Rank correlation of what the model expects of a task and what was measured; failures are the slowest."""
    scores = model.of_task(task.names, task.task).scores(task.assignments)
    return rank_correlation(scores, 1 / task.secs)


def _ranks(values: npt.NDArray[np.floating]) -> Numbers:
    _, groups = np.unique(values, return_inverse=True)
    ends = np.cumsum(np.bincount(groups))
    starts = np.concatenate([[0], ends[:-1]])
    ranks: Numbers = ((starts + ends - 1) / 2)[groups]
    return ranks
