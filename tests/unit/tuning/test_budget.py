"""What a budget allows."""

from __future__ import annotations

import math

import pytest

from flextune.errors import UsageError
from flextune.tuning.budget import Budget


def test_recorded_trials_count() -> None:
    budget = Budget(trials=64)
    assert budget.trials_left(0) == 64
    assert budget.trials_left(60) == 4
    assert budget.trials_left(64) == 0
    assert budget.trials_left(100) == 0


def test_minutes_are_wall_clock_seconds_left() -> None:
    assert Budget(minutes=0.5).secs_left(10.0) == pytest.approx(20.0)
    assert Budget(minutes=0.5).secs_left(40.0) < 0
    assert Budget(trials=1).secs_left(1e9) == math.inf


def test_without_a_trial_limit_there_are_always_trials_left() -> None:
    assert Budget(minutes=1).trials_left(10**6) > 10**6


def test_patience_counts_trials_without_gain() -> None:
    assert not Budget(trials=10).out_of_patience(10**6)
    assert not Budget(trials=10, patience_trials=5).out_of_patience(4)
    assert Budget(trials=10, patience_trials=5).out_of_patience(5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "trials or minutes"),
        ({"trials": 0}, "trials must be positive, got 0"),
        ({"trials": -3}, "got -3"),
        ({"minutes": 0.0}, "minutes must be positive"),
        ({"minutes": math.inf}, "minutes must be positive"),
        ({"minutes": math.nan}, "minutes must be positive"),
        ({"trials": 5, "patience_trials": 0}, "patience trials must be positive"),
    ],
)
def test_refuses(values: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Budget(**values)  # type: ignore[arg-type]
