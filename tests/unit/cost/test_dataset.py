import numpy as np

from flextune.cost.dataset import Dataset, features
from flextune.csp.assignment import Assignment, Assignments
from flextune.testing.cost_models import measured


def told(*pairs):
    data = Dataset(("i",))
    data.add(measured([Assignment({"i": i}) for i, _ in pairs], np.array([secs for _, secs in pairs])))
    return data


def test_features_are_values_then_logarithms():
    rows = features(Assignments({"i": np.array([0, 1, 7]), "j": np.array([-3, 3, 1])}), ("i", "j"))
    assert rows.tolist() == [[0, -3, 0, -2], [1, 3, 1, 2], [7, 1, 3, 1]]


def test_throughput_is_relative_to_the_best_and_zero_for_failures():
    assert told((1, 0.2), (2, 0.1), (3, np.inf)).throughput().tolist() == [0.5, 1, 0]


def test_latest_time_replaces_but_keeps_its_row():
    data = told((1, 0.2), (2, 0.1), (1, 0.05))
    assert data.rows()[:, 0].tolist() == [1, 2]
    assert data.throughput().tolist() == [1, 0.5]


def test_nothing_has_run():
    data = told((1, np.inf))
    assert data.best_secs == np.inf
    assert data.throughput().tolist() == [0]
