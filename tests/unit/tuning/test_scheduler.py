"""Who gets the next round."""

from __future__ import annotations

import math

import pytest

from flextune.tuning.scheduler import TaskState, expected_gain, next_task, shares


def spend(final_secs: dict[str, float], weights: dict[str, float], rounds: int) -> dict[str, int]:
    """Rounds per task when every task comes down from 1 s towards its final time, halving what is left each round."""
    best = {name: [1.0] for name in final_secs}
    for _ in range(rounds):
        states = {name: TaskState(weights[name], tuple(best[name])) for name in final_secs}
        name = next_task(states)
        assert name is not None
        best[name].append(final_secs[name] + (best[name][-1] - final_secs[name]) / 2)
    return {name: len(times) - 1 for name, times in best.items()}


def test_every_task_is_measured_once_first() -> None:
    states = {"a": TaskState(1, (2.0, 1.0)), "b": TaskState(1, ()), "c": TaskState(100, ())}
    assert next_task(states) == "b"


def test_the_heavier_task_gets_more_rounds() -> None:
    given = spend({"light": 0.1, "heavy": 0.1}, {"light": 1, "heavy": 10}, 22)
    assert given["heavy"] > given["light"] > 0


def test_the_task_that_still_improves_gets_more_rounds() -> None:
    given = spend({"stuck": 0.99, "falling": 0.01}, {"stuck": 1, "falling": 1}, 12)
    assert given["falling"] != given["stuck"]
    fast, slow = TaskState(1, (1.0, 0.9, 0.7)), TaskState(1, (1.0, 0.7, 0.7))
    assert expected_gain(fast) > expected_gain(TaskState(1, (0.7, 0.7, 0.7))) > 0
    assert expected_gain(slow) == pytest.approx(expected_gain(fast))


def test_a_task_at_its_bound_gains_nothing_more() -> None:
    at_bound = TaskState(50, (1.0, 1.0, 1.0), bound_secs=1.0)
    far = TaskState(1, (1.0, 1.0, 1.0), bound_secs=0.5)
    assert expected_gain(at_bound) == 0
    assert next_task({"at bound": at_bound, "far": far}) == "far"


def test_a_cheap_round_is_worth_more() -> None:
    times = (1.0, 0.8)
    assert expected_gain(TaskState(1, times, round_secs=1.0)) > expected_gain(TaskState(1, times, round_secs=5.0))


def test_exhausted_tasks_get_nothing() -> None:
    done, open_ = TaskState(100, (1.0,), exhausted=True), TaskState(1, (1.0,))
    assert next_task({"done": done, "open": open_}) == "open"
    assert next_task({"done": done}) is None
    assert next_task({}) is None


def test_a_task_in_which_nothing_runs_does_not_eat_the_budget() -> None:
    hopeless = TaskState(100, (math.inf,) * 10)
    assert expected_gain(TaskState(1, (math.inf,))) == math.inf
    assert next_task({"hopeless": hopeless, "running": TaskState(1, (1.0, 0.9))}) == "running"


def test_shares_sum_to_one() -> None:
    assert shares([1, 3]) == (0.25, 0.75)
    assert shares([0, 0]) == (0.0, 0.0)
