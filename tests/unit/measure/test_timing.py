"""The timing protocol, with a clock that is made up."""

import math

import pytest

from flextune.measure.measure_options import MeasureOptions
from flextune.measure.timing import MOST_CALLS, calls_per_repeat, timed_secs

OPTIONS = MeasureOptions(repeats=5, min_repeat_secs=0.004, slow_factor=1.5, noise=0.02, run_timeout_secs=10.0)


class Clock:
    """Every call takes `secs`; remembers what was asked of it."""

    def __init__(self, secs: float) -> None:
        self.secs = secs
        self.asked: list[tuple[int, int]] = []

    def __call__(self, number: int, repeats: int) -> tuple[float, ...]:
        self.asked.append((number, repeats))
        return (self.secs,) * repeats


def test_first_candidate_gets_all_repeats() -> None:
    clock = Clock(0.0005)
    assert timed_secs(clock, OPTIONS, math.inf) == (0.0005,) * 5
    assert clock.asked == [(1, 1), (8, 1), (8, 1), (8, 1), (8, 1), (8, 1)]


def test_a_clearly_slow_candidate_stops_after_one_repeat() -> None:
    clock = Clock(0.0008)
    assert timed_secs(clock, OPTIONS, 0.0005) == (0.0008,)
    assert clock.asked == [(1, 1), (5, 1)]


def test_a_very_slow_candidate_stops_after_one_call() -> None:
    clock = Clock(0.5)
    assert timed_secs(clock, OPTIONS, 0.1) == (0.5,)
    assert clock.asked == [(1, 1)]


@pytest.mark.parametrize(("secs", "repeats"), [(0.0005, 10), (0.000495, 10), (0.000505, 5), (0.0004, 5)])
def test_more_repeats_for_what_wins_by_no_more_than_the_noise(secs: float, repeats: int) -> None:
    assert len(timed_secs(Clock(secs), OPTIONS, 0.0005)) == repeats


@pytest.mark.parametrize(("ratio", "repeats"), [(1.4, 2), (1.23, 2), (1.2, 3), (1.11, 4), (1.09, 5)])
def test_the_smaller_the_distance_the_more_repeats_say_that_a_candidate_is_slow(ratio: float, repeats: int) -> None:
    assert len(timed_secs(Clock(0.0005 * ratio), OPTIONS, 0.0005)) == repeats


def test_one_repeat_near_the_incumbent_keeps_a_candidate_in() -> None:
    times = iter([0.0005, 0.0007, 0.00052, 0.0007, 0.0007, 0.0007])
    assert len(timed_secs(lambda _number, repeats: tuple(next(times) for _ in range(repeats)), OPTIONS, 0.0005)) == 5


def test_a_long_call_is_its_own_repeat() -> None:
    clock = Clock(0.01)
    assert timed_secs(clock, OPTIONS, math.inf) == (0.01,) * 3
    assert clock.asked == [(1, 1), (1, 1), (1, 1)]


@pytest.mark.parametrize(("repeats_secs", "repeats"), [(0.0, 3), (0.04, 4), (1.0, 5)])
def test_as_many_repeats_as_fit(repeats_secs: float, repeats: int) -> None:
    options = MeasureOptions(repeats=5, repeats_secs=repeats_secs)
    assert len(timed_secs(Clock(0.00999), options, math.inf)) == repeats


@pytest.mark.parametrize(("secs", "repeats"), [(2.0, 2), (4.0, 1), (9.0, 1)])
def test_repeats_stay_within_half_the_time_limit(secs: float, repeats: int) -> None:
    assert len(timed_secs(Clock(secs), OPTIONS, math.inf)) == repeats


@pytest.mark.parametrize("options", [MeasureOptions(repeats=1), MeasureOptions(run_timeout_secs=0.05)])
def test_a_single_repeat_near_the_incumbent_is_enough(options: MeasureOptions) -> None:
    assert set(timed_secs(Clock(0.02), options, 0.02)) == {0.02}


def test_a_set_number_of_calls_is_kept() -> None:
    clock = Clock(0.0005)
    timed_secs(clock, MeasureOptions(number=3, repeats=2), math.inf)
    assert clock.asked == [(1, 1), (3, 1), (3, 1)]


@pytest.mark.parametrize(
    ("secs", "number"), [(0.004, 1), (0.003, 2), (0.001, 4), (3e-6, 1334), (0.0, MOST_CALLS), (1.0, 1)]
)
def test_calls_per_repeat(secs: float, number: int) -> None:
    assert calls_per_repeat(secs, 0.004) == number
