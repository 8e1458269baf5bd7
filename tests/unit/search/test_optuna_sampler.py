import numpy as np
import pytest

from flextune.search.optuna_sampler import OptunaOptions, OptunaStrategy
from flextune.testing.cost_models import measured
from flextune.testing.strategies import HUGE, SPLITS, example_measurement, failed_measurement, solved

optuna = pytest.importorskip("optuna")


def strategy(text=HUGE, seed=0, **options):
    return OptunaStrategy(solved(text), rng=np.random.default_rng(seed), options=OptunaOptions(**options))


def trials(search, state):
    return [trial for trial in search._study.trials if trial.state is state]


def test_optuna_is_told_what_was_measured():
    search = strategy(SPLITS)
    for _ in range(5):
        search.tell([example_measurement(assignment) for assignment in search.ask(1)])
    told = trials(search, optuna.trial.TrialState.COMPLETE)
    assert len(told) + len(trials(search, optuna.trial.TrialState.PRUNED)) == 5
    positions = np.array([[trial.params[name] for name in search._encoding.names] for trial in told])
    combinations = search._encoding.assignments(positions)
    assert search.solutions.contains_many(combinations).all()
    secs = [search.history.secs_of(assignment) for assignment in combinations]
    assert [trial.value for trial in told] == pytest.approx(np.log(secs))


def test_failures_are_pruned_trials():
    search = strategy()
    asked = search.ask(1)
    search.tell([failed_measurement(assignment) for assignment in asked])
    assert len(trials(search, optuna.trial.TrialState.PRUNED)) == 1


def test_an_earlier_run_is_told_and_nothing_twice():
    search = strategy()
    known = list(search.solutions.sample(np.random.default_rng(0), 6))
    for _ in range(2):
        search.tell([example_measurement(assignment) for assignment in known])
    assert len(search._study.trials) == 6


def test_samples_near_what_was_fast():
    search = strategy(startup=20, candidates=24)
    known = list(search.solutions.sample(np.random.default_rng(0), 100))
    search.tell(measured(known, np.array([1.0 + 10 * abs(assignment["v0"] - 7) for assignment in known])))
    asked = []
    for _ in range(10):
        asked += search.ask(1)
        search.tell(measured(asked[-1:], np.array([1.0 + 10 * abs(asked[-1]["v0"] - 7)])))
    assert np.mean([abs(assignment["v0"] - 7) for assignment in asked]) < 1.3


def test_a_round_of_several():
    assert len(set(strategy(round_size=5).ask(20))) == 5
