"""The course of a search from its records, and which variables mattered in it."""

from __future__ import annotations

import math
import random
import statistics
from dataclasses import replace

import pytest

from flextune.report.importance import importances
from flextune.report.sections.next_steps import advice
from flextune.report.task_history import TaskHistory, task_histories
from flextune.testing.databases import example_record
from flextune.trial.measurement import Status


def test_points_failures_and_the_best_so_far() -> None:
    wrong = replace(example_record(2, None, error="element 3 differs"), status=Status.WRONG_OUTPUT)
    secs = [0.5, 0.1, 0.25, None, None]
    records = [example_record(tile, each, error="" if each else f"signal {tile}") for tile, each in enumerate(secs, 1)]
    (task,) = task_histories([*records, wrong])
    assert task.name == "gemm m=64 n=64 k=64"
    assert [point.improves for point in task.points] == [True, True, False, False, False, False]
    assert task.points[-1].spent_secs == pytest.approx(0.6)
    assert (task.candidates, task.failed, task.last_improved) == (5, 3, 2)
    assert [(each.cause, each.count) for each in task.failures] == [
        ("run_error: signal #", 2),
        ("wrong_output: element # differs", 1),
    ]
    assert task.failures[0].example.assigned["tile"] == 4
    assert task.best_secs == 0.25


def test_tasks_are_told_apart_by_workload_and_target() -> None:
    records = [example_record(1), example_record(1, workload_key="b"), example_record(1, target_key="null:cores=1")]
    assert len(task_histories(records)) == 3


def test_advice_follows_the_search() -> None:
    late = TaskHistory.of([example_record(tile, 1.0 / tile) for tile in range(1, 11)])
    early = TaskHistory.of([example_record(tile, float(tile)) for tile in range(1, 11)])
    assert advice(late).startswith("likely: its best came at trial 10 of 10")
    assert advice(early) == "less likely: no better one in the last 9 of 10 trials"
    assert advice(TaskHistory.of([example_record(1)])) == "only the default was tried"
    assert advice(TaskHistory.of([example_record(1, None)])).startswith("nothing ran")


def test_importance_is_omega_squared() -> None:
    """Against the textbook's sums, by the statistics module."""
    rng = random.Random(3)
    rows = [(rng.choice([1, 2, 4]), rng.choice([0, 1])) for _ in range(200)]
    secs = [math.exp(0.5 * tile + 0.1 * rng.gauss(0, 1)) for tile, _ in rows]
    logs = [math.log(each) for each in secs]
    groups = {value: [log for (tile, _), log in zip(rows, logs, strict=True) if tile == value] for value in (1, 2, 4)}
    total = statistics.pvariance(logs) * len(logs)
    within = sum(statistics.pvariance(each) * len(each) for each in groups.values()) / (len(logs) - 3)
    expected = (total - within * (len(logs) - 3) - 2 * within) / (total + within)
    first, second = importances(("tile", "unroll"), rows, secs)
    assert (first.variable, first.values) == ("tile", 3)
    assert first.explained == pytest.approx(expected)
    assert second.explained < 0.05


def test_many_values_of_pure_noise_explain_nothing_much() -> None:
    rng = random.Random(5)
    rows = [(number // 2,) for number in range(200)]
    found = importances(("place",), rows, [math.exp(rng.gauss(0, 1)) for _ in rows])
    assert all(each.explained < 0.3 for each in found), "without the correction it would be about one half"


def test_nothing_is_said_of_few_trials_or_equal_times() -> None:
    assert importances(("a",), [(1,), (2,)], [1.0, 2.0]) == []
    assert importances(("a",), [(each,) for each in range(20)], [1.0] * 20) == []
