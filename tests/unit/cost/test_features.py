import numpy as np

from flextune.cost.features import FeatureTable, value_features
from flextune.csp.assignment import Assignments


def test_features_are_values_then_logarithms():
    rows = FeatureTable(value_features(("i", "j"))).rows(
        Assignments({"i": np.array([0, 1, 7]), "j": np.array([-3, 3, 1])})
    )
    assert rows.tolist() == [[0, -3, 0, -2], [1, 3, 1, 2], [7, 1, 3, 1]]
