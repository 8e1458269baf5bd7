import math

import numpy as np
import pytest

from flextune.csp.assignment import Assignments
from flextune.csp.problem import Problem
from flextune.surrogate.feature_map import FeatureMap, Scale
from flextune.surrogate.log_target import LogTarget

SPACE = """
var tile in {1, 2, 4, 16}
var unroll in {0, 1, 15}
var flag in {0, 1}
var shift in {-2, 0, 2}
var fixed in {7}
aux area
area = tile * unroll
area <= 60
"""


def test_chosen_variables_that_vary_are_features():
    solutions = Problem.parse(SPACE).solve()
    features = FeatureMap.of_set(solutions.names, solutions)
    assert features.names == ("tile", "unroll", "flag", "shift")
    rows = Assignments.of(list(solutions.enumerate()), solutions.names)
    x = features.of(rows)
    assert x.shape == (solutions.count, 4)
    np.testing.assert_allclose(x.min(axis=0), 0)
    np.testing.assert_allclose(x.max(axis=0), 1)


def test_ratios_steps_and_differences():
    np.testing.assert_allclose(Scale.of(1, 16).scaled(np.array([1.0, 4.0, 16.0])), [0, 0.5, 1])
    np.testing.assert_allclose(Scale.of(0, 15).scaled(np.array([0.0, 3.0, 15.0])), [0, 0.5, 1])
    np.testing.assert_allclose(Scale.of(-2, 2).scaled(np.array([-2.0, 0.0, 1.0])), [0, 0.5, 0.75])
    np.testing.assert_allclose(Scale.of(0, 1).scaled(np.array([0.0, 1.0])), [0, 1])


def test_only_the_names_that_are_wanted():
    solutions = Problem.parse(SPACE).solve()
    assert FeatureMap.of_set(("flag", "tile"), solutions).names == ("flag", "tile")


def test_target_is_the_standardised_logarithm():
    secs = np.array([1e-3, 2e-3, 4e-3, 8e-3, math.inf])
    target = LogTarget.fitted(secs, 1.0)
    y = target.of(secs)
    assert y.mean() == pytest.approx(0)
    assert y.std() == pytest.approx(1)
    assert np.diff(y[:4]) == pytest.approx(y[1] - y[0])
    assert y[4] == y[3]


def test_target_is_capped_at_the_quantile():
    secs = np.array([1.0, 2.0, 3.0, 100.0, 200.0])
    y = LogTarget.fitted(secs, 0.5).of(secs)
    assert y[2] == y[3] == y[4] > y[1] > y[0]


@pytest.mark.parametrize("secs", [[math.inf, math.inf], [0.5, 0.5], [0.0, 1.0], []])
def test_target_of_little_is_finite(secs):
    values = np.array(secs)
    assert np.isfinite(LogTarget.fitted(values, 0.5).of(values)).all()
