import numpy as np

from flextune.cost.features import Feature, FeatureTable, log_features, value_features
from flextune.csp.assignment import Assignments

SPACE = Assignments({"i": np.array([0, 1, 7]), "j": np.array([-3, 3, 1])})


def test_values_then_logarithms():
    table = FeatureTable(value_features(("i", "j")))
    assert table.names == ("i", "j", "log i", "log j")
    assert table.rows(SPACE).tolist() == [[0, -3, 0, -2], [1, 3, 1, 2], [7, 1, 3, 1]]
    assert FeatureTable(log_features(("j",))).rows(SPACE).tolist() == [[-2], [2], [1]]


def test_rows_of_no_assignments_and_of_no_features():
    assert FeatureTable(value_features(("i",))).rows(SPACE.take(np.array([], dtype=np.intp))).shape == (0, 2)
    assert FeatureTable(()).rows(SPACE).shape == (3, 0)


def test_importance_is_shared_by_the_variables_that_a_feature_comes_from():
    both = Feature("area", ("i", "j"), lambda columns: columns["i"] * columns["j"])
    task = Feature("operations", (), lambda columns: np.asarray(20.0))
    table = FeatureTable((*log_features(("i",)), both, task))
    assert table.shares(np.array([1.0, 2.0, 5.0])) == {"i": 2 / 3, "j": 1 / 3}
    assert table.shares(np.array([0.0, 0.0, 5.0])) == {}
