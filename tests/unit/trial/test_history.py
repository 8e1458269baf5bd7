import numpy as np

from flextune.csp.assignment import Assignment
from flextune.testing.cost_models import measured
from flextune.trial.history import History


def told(*pairs):
    history = History(("i",))
    history.add(measured([Assignment({"i": i}) for i, _ in pairs], np.array([secs for _, secs in pairs])))
    return history


def test_fitness_is_relative_to_the_best():
    assert told((1, 0.4), (2, 0.1), (3, np.inf)).fitness().tolist() == [0.25, 1, 0]


def test_all_failed_or_nothing_told():
    assert told((1, np.inf), (2, np.inf)).fitness().tolist() == [0, 0]
    assert told((1, np.inf)).best(5).tolist() == []
    assert told().fitness().tolist() == []
    assert told().best(5).tolist() == []


def test_best_are_the_fastest_first_without_failures():
    assert told((1, 0.4), (2, 0.1), (3, np.inf), (4, 0.2)).best(2).tolist() == [1, 3]
    assert told((1, 0.4), (2, 0.1), (3, np.inf), (4, 0.2)).best(9).tolist() == [1, 3, 0]


def test_latest_counts():
    history = told((1, 0.1), (2, 0.2), (1, np.inf))
    assert len(history) == 2
    assert history.fitness().tolist() == [0, 1]


def test_times_in_the_order_they_were_first_told():
    history = told((1, 0.2), (2, np.inf), (1, 0.05))
    assert history.assignments().columns["i"].tolist() == [1, 2]
    assert history.secs().tolist() == [0.05, np.inf]
    assert history.best_secs == 0.05
    assert told((1, np.inf)).best_secs == told().best_secs == np.inf


def test_time_of_one():
    history = told((1, 0.2), (2, np.inf))
    times = [history.secs_of(Assignment({"i": i})) for i in (1, 2, 3)]
    assert times == [0.2, np.inf, None]
