"""Searching a measured space: trials, simulated seconds, the incumbent, and what is bad input."""

import math

import pytest

from flextune.csp.parameters import Parameters
from flextune.errors import UsageError
from flextune.trial.measurement import Status
from flextune.trial.tabular import TabularSpace, TabularTrial
from flextune.tuning.replayed_search import replay_run

PARAMETERS = Parameters.of({"x": range(30), "word": ["a", "b"]})


def trial(x, word):
    assignment = PARAMETERS.encode({"x": x, "word": word})
    if x % 5 == 4:
        return TabularTrial(assignment, Status.BUILD_ERROR, error="no", build_secs=2.0)
    mean = 1e-3 * (1 + abs(x - 11) + (word == "a"))
    return TabularTrial(assignment, Status.OK, (0.8 * mean, 1.2 * mean), build_secs=1.0, benchmark_secs=0.5)


SPACE = TabularSpace("space", PARAMETERS, tuple(trial(x, word) for x in range(30) for word in "ab"))


@pytest.mark.parametrize("strategy", ["random", "cga"])
def test_a_whole_space(strategy):
    found = replay_run(SPACE, strategy, trials=1000)
    assert sorted(found.rows) == list(range(60))
    assert found.evaluations == 60
    assert found.failed == 12
    assert found.best_secs == SPACE.optimum_secs == 1e-3
    assert SPACE.parameters.decode(found.best) == {"x": 11, "word": "b"}
    assert found.simulated_secs == pytest.approx(48 * 1.5 + 12 * 2)
    assert found.fraction_after(60) == 1.0
    assert found.fraction_after(0) == 0.0
    assert list(found.incumbent_secs) == sorted(found.incumbent_secs, reverse=True)


def test_the_incumbent_is_the_best_of_what_was_seen():
    found = replay_run(SPACE, "random", trials=20, seed=3)
    for count in range(1, 21):
        best = min(SPACE.secs[row] for row in found.rows[:count])
        assert found.incumbent_secs[count - 1] == best
        assert found.fraction_after(count) == pytest.approx(1e-3 / best if math.isfinite(best) else 0)


def test_simulated_seconds_end_a_run():
    found = replay_run(SPACE, "random", secs=10.0)
    assert found.simulated_secs <= 10.0
    assert found.simulated_secs + 2.0 > 10.0
    assert len(found) == len(replay_run(SPACE, "random", secs=10.0, trials=50))
    assert len(replay_run(SPACE, "random", secs=10.0, trials=2)) == 2
    assert found.fraction_at(0.1) == 0.0
    assert found.fraction_at(1e9) == found.fraction_after(len(found))
    nothing = replay_run(SPACE, "random", secs=0.5)
    assert (len(nothing), nothing.best, nothing.best_secs, nothing.simulated_secs) == (0, None, math.inf, 0.0)


def test_the_same_seed_gives_the_same_run_with_noise_too():
    for draws in (0, 1):
        first, again = (replay_run(SPACE, "cga", trials=30, seed=5, draws=draws) for _ in range(2))
        assert list(first.rows) == list(again.rows)
        assert list(first.measured_secs) == list(again.measured_secs)
    noisy = replay_run(SPACE, "random", trials=30, seed=5, draws=1)
    assert list(noisy.rows) == list(replay_run(SPACE, "random", trials=30, seed=5).rows)
    assert any(measured != SPACE.secs[row] for row, measured in zip(noisy.rows, noisy.measured_secs, strict=True))
    assert all(secs in SPACE.secs for secs in noisy.incumbent_secs)


def test_batches():
    assert len(replay_run(SPACE, "random", trials=17, batch=5)) == 17


def test_a_space_in_which_nothing_runs():
    failed = tuple(each for each in SPACE.trials if each.status is not Status.OK)
    found = replay_run(TabularSpace("failures", PARAMETERS, failed), "cga", trials=100)
    assert (len(found), found.failed, found.best, found.best_secs) == (12, 12, None, math.inf)
    assert found.fraction_after(12) == 0.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "number of trials or of seconds"),
        ({"trials": 0}, "trials must be positive"),
        ({"secs": -1.0}, "seconds must be positive"),
        ({"secs": math.nan}, "seconds must be positive"),
        ({"trials": 5, "batch": 0}, "batch must be positive"),
        ({"trials": 5, "seed": -1}, "seed must not be negative"),
        ({"trials": 5, "options": {"round": "3"}}, "unknown strategy option"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(UsageError, match=message):
        replay_run(SPACE, "random", **arguments)
    with pytest.raises(UsageError, match="unknown strategy 'radom'"):
        replay_run(SPACE, "radom", trials=5)
