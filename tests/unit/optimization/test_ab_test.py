"""Variants timed in turns: which is chosen with noise, drift and outliers, and when timing ends. Times are made up."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flextune.optimization.ab_test import ERROR_PROBABILITY, ABTestResult, Limits, e_value, interleaved_test


class Machine:
    """Variants with these seconds; every call passes time, and what is timed varies."""

    def __init__(self, secs: Sequence[float], seed: int, noise: float, drift: float = 0.0, outliers: float = 0.0):
        self.now, self.calls = 0.0, [0] * len(secs)
        self._secs, self._rng = secs, np.random.default_rng(seed)
        self._noise, self._drift, self._outliers = noise, drift, outliers

    def variants(self) -> list[Callable[[], float]]:
        return [lambda variant=variant: self._time(variant) for variant in range(len(self._secs))]  # type: ignore[misc]

    def clock(self) -> float:
        return self.now

    def _time(self, variant: int) -> float:
        self.calls[variant] += 1
        slow = 1 + self._drift * (1 + math.sin(self.now / 7)) + 0.01 * self._drift * self.now
        secs = self._secs[variant] * slow * math.exp(self._rng.normal(0, self._noise))
        if self._rng.random() < self._outliers:
            secs *= 3
        self.now += secs
        return float(secs)


def found_by(machine: Machine, limits: Limits = Limits()) -> ABTestResult:  # noqa: B008 - a frozen value
    return interleaved_test(machine.variants(), limits, machine.clock)


DISTURBANCES = [(0.03, 0.0, 0.0), (0.01, 0.5, 0.0), (0.02, 0.2, 0.1)]


@pytest.mark.parametrize(("noise", "drift", "outliers"), DISTURBANCES)
def test_what_is_slower_is_hardly_ever_chosen(noise: float, drift: float, outliers: float) -> None:
    chosen = [found_by(Machine((1.0, 1.005), seed, noise, drift, outliers)).chosen for seed in range(200)]
    assert np.mean(chosen) <= ERROR_PROBABILITY


@pytest.mark.parametrize(("noise", "drift", "outliers"), DISTURBANCES)
def test_what_is_clearly_faster_is_chosen(noise: float, drift: float, outliers: float) -> None:
    found = [found_by(Machine((1.0, 0.97), seed, noise, drift, outliers)) for seed in range(100)]
    assert np.mean([each.chosen for each in found]) >= 0.95
    assert np.median([each.secs[1] / each.secs[0] for each in found]) == pytest.approx(0.97, abs=0.01)


def test_equal_variants_keep_the_first_one_of_several() -> None:
    chosen = [found_by(Machine((1.0, 1.0, 1.0), seed, 0.02)).chosen for seed in range(200)]
    assert np.mean(np.array(chosen) > 0) <= ERROR_PROBABILITY


def test_the_clearer_the_sooner() -> None:
    rounds = [found_by(Machine((1.0, secs), 1, 0.02)).rounds for secs in (0.5, 0.99)]
    assert rounds[0] == Limits().least_rounds < rounds[1]


def test_the_fastest_of_several_faster_ones() -> None:
    machine = Machine((1.0, 0.9, 0.8, 1.2), 3, 0.02)
    found = found_by(machine)
    assert found.chosen == 2
    assert machine.calls[3] <= machine.calls[0]


def test_what_is_shown_to_be_slower_is_not_timed_any_more() -> None:
    machine = Machine((1.0, 1.5, 0.995), 4, 0.02)
    found_by(machine)
    assert machine.calls[1] < 30 < machine.calls[2] == machine.calls[0]


def test_no_round_begins_after_the_time_is_up_but_for_the_least() -> None:
    for secs, expected in ((0.0, 8), (30.0, 8), (40.0, 10), (math.inf, 40)):
        machine = Machine((1.0, 1.0), 5, 0.0)
        assert found_by(machine, Limits(least_rounds=8, most_rounds=40, secs=secs)).rounds == expected


@pytest.mark.parametrize(("most_secs", "rounds"), [(0.0, 1), (11.0, 3), (1e9, 8)])
def test_no_round_but_the_first_begins_when_all_time_is_over(most_secs: float, rounds: int) -> None:
    found = found_by(Machine((1.0, 1.0), 5, 0.0), Limits(secs=0.0, most_secs=most_secs))
    assert (found.rounds, found.chosen, found.is_cut) == (rounds, 0, rounds < 8)


def test_without_another_variant_nothing_is_timed() -> None:
    assert found_by(Machine((1.0,), 0, 0.0)) == ABTestResult(0, (math.inf,), 0)


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_bet_is_fair(losses: int, wins: int) -> None:
    """Where both win half of the rounds, the e-value stays what it is on average, whatever happened before."""
    after = Fraction(1, 2) * (e_value(losses + 1, wins) + e_value(losses, wins + 1))
    assert after == e_value(losses, wins)
    assert e_value(0, 0) == 1


@given(st.integers(0, 12), st.integers(0, 12))
def test_the_e_value_is_the_integral(losses: int, wins: int) -> None:
    chances = np.linspace(0.5, 1, 20001)
    values = 2 * (2 * chances) ** wins * (2 * (1 - chances)) ** losses
    assert float(e_value(losses, wins)) == pytest.approx(np.trapezoid(values, chances), rel=1e-4)


@pytest.mark.parametrize("fails_at", [0, 1, 5, 17])
def test_a_variant_that_fails_is_never_chosen(fails_at: int) -> None:
    machine = Machine((1.0, 0.5), 0, 0.01)
    sound, faster = machine.variants()
    calls = [0]

    def failing() -> float:
        calls[0] += 1
        return math.inf if calls[0] > fails_at else faster()

    found = interleaved_test([sound, failing], Limits(least_rounds=20), machine.clock)
    assert found.chosen == 0
    assert found.secs[1] == math.inf
    assert calls[0] <= fails_at + 2


def test_where_the_first_variant_fails_another_is_chosen() -> None:
    found = interleaved_test([lambda: math.inf, lambda: 1.0], Limits())
    assert found.chosen == 1
