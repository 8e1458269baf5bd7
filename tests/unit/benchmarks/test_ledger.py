from __future__ import annotations

import numpy as np
import pytest

from benchmarks.leaderboard.ledger import FREE_FACTOR, Charge, Finished, Ledger
from flextune.errors import UsageError

from .recorded import bowl, recorded

SPACE = recorded(bowl)
FAILED = 0
BEST = int(np.nanargmin(SPACE.secs))
OTHERS = [row for row in range(6, 36) if row != BEST]


class Clock:
    """A clock that only moves when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def ledger(charge: Charge, clock: Clock | None = None) -> Ledger:
    return Ledger(SPACE, charge, np.random.default_rng(0), clock or Clock())


def test_repeats_and_strangers_are_for_nothing_and_failures_are_not() -> None:
    account = ledger(Charge(3))
    assert account.measure(FAILED) is None
    assert account.measure(OTHERS[0]) == pytest.approx(SPACE.secs[OTHERS[0]])
    assert account.measure(OTHERS[0]) == pytest.approx(SPACE.secs[OTHERS[0]])
    assert account.measure(None) is None
    account.measure(OTHERS[1])
    assert account.evaluations == 3
    with pytest.raises(Finished):
        account.measure(OTHERS[2])


def test_the_curve_is_the_true_time_of_the_best_so_far() -> None:
    account = ledger(Charge(10))
    slow, fast = sorted(OTHERS[:2], key=lambda row: -SPACE.secs[row])
    for row in (FAILED, slow, fast, slow):
        account.measure(row)
    found = account.curve.at(np.array([1.0, 2.0, 3.0, 10.0]))
    assert np.isnan(found[0])
    assert found[1:] == pytest.approx([SPACE.secs[slow], SPACE.secs[fast], SPACE.secs[fast]])


def test_the_optimum_ends_a_run_and_is_in_its_curve() -> None:
    account = ledger(Charge(10))
    with pytest.raises(Finished):
        account.measure(BEST)
    assert account.curve.at(np.array([1.0]))[0] == SPACE.optimum_secs


def test_a_run_that_only_asks_for_what_it_knows_ends() -> None:
    account = ledger(Charge(2))
    account.measure(OTHERS[0])
    for _ in range(FREE_FACTOR * 2 - 1):
        account.measure(OTHERS[0])
    with pytest.raises(Finished):
        account.measure(OTHERS[0])


def test_seconds_are_charged_for_evaluations_and_for_thinking() -> None:
    clock = Clock()
    account = ledger(Charge(4, by_seconds=True), clock)  # 4 mean evaluations of 2 s
    account.measure(OTHERS[0])
    clock.now += 1.0
    account.measure(OTHERS[1])
    clock.now += 3.5
    with pytest.raises(Finished):
        account.measure(OTHERS[2])
    assert account.thinking_secs == pytest.approx(4.5)
    assert account.curve.spent.tolist() == pytest.approx([1.0, 2.5])


def test_an_evaluation_that_ends_too_late_does_not_count() -> None:
    account = ledger(Charge(1, by_seconds=True), clock := Clock())
    clock.now += 0.1
    with pytest.raises(Finished):
        account.measure(OTHERS[0])
    assert np.isnan(account.curve.at(np.array([1.0]))[0])


def test_with_noise_a_repeat_is_a_new_measurement_and_the_lowest_mean_counts() -> None:
    account = ledger(Charge(30, noise=1))
    row = OTHERS[0]
    values = [account.measure(row) for _ in range(20)]
    assert len({round(value, 9) for value in values if value}) == 2  # 10 % above and below
    assert account.evaluations == 20
    assert account.curve.at(np.array([20.0]))[0] == pytest.approx(SPACE.secs[row])


def test_a_budget_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="budget"):
        Charge(0)
