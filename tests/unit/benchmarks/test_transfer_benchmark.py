"""The transfer benchmark, on invented tasks."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.transfer import BOTH, NOTHING, OTHERS, SAME, Plan, Row, compared, table
from flextune.cost.pretrained import TaskRecords
from flextune.cost.task_description import TaskDescription
from flextune.errors import UsageError
from flextune.testing.cost_models import NAMES, example_assignments, example_secs


def example(seed: int, operator: str, n: int = 60) -> TaskRecords:
    assignments = example_assignments(np.random.default_rng(seed), n)
    return TaskRecords(TaskDescription(operator), NAMES, assignments, (1 + seed) * example_secs(assignments))


TASKS = (example(0, "one"), example(1, "one"), example(2, "two"))


def test_a_start_from_other_tasks_shows() -> None:
    rows = {(row.start, row.told): row for row in compared(TASKS, Plan(told=(0, 16), draws=2))}
    assert set(rows) == {(NOTHING, 16), *((start, told) for start in (SAME, OTHERS, BOTH) for told in (0, 16))}
    assert rows[SAME, 0].workloads == 2
    assert rows[BOTH, 16].workloads == 3
    assert rows[BOTH, 0].correlation > 0.7
    assert rows[BOTH, 16].correlation > rows[NOTHING, 16].correlation
    assert all(0 <= row.regret <= 1 for row in rows.values())


def test_too_few_records() -> None:
    with pytest.raises(UsageError, match="at least 96 records; --make measures some"):
        list(compared(TASKS, Plan()))


def test_table() -> None:
    rows = [Row("trees", NOTHING, 16, 3, 0.5, 0.125), Row("trees", SAME, 0, 2, 0.75, 0.0)]
    assert table(rows).splitlines() == [
        "| model | learned before from | 0 own | 16 own |",
        "|---|---|---|---|",
        "| trees | nothing | – | 0.50 (12.5%) |",
        "| trees | other shapes | 0.75 (0.0%) | – |",
    ]
