import numpy as np

from flextune.cost.features import features
from flextune.csp.assignment import Assignments


def test_features_are_values_then_logarithms():
    rows = features(Assignments({"i": np.array([0, 1, 7]), "j": np.array([-3, 3, 1])}), ("i", "j"))
    assert rows.tolist() == [[0, -3, 0, -2], [1, 3, 1, 2], [7, 1, 3, 1]]
