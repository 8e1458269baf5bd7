import numpy as np
import pytest

from flextune.csp.assignment import Assignments
from flextune.csp.problem import Problem
from flextune.search.evolution.importance import on_chosen, variance_importance


def columns(rng, n):
    return Assignments(
        {name: rng.integers(0, size, n) for name, size in (("i", 4), ("j", 4), ("idle", 12), ("one", 1))}
    )


def test_share_of_the_variance():
    rng = np.random.default_rng(0)
    assignments = columns(rng, 2000)
    fitness = 2.0 * assignments.columns["i"] + assignments.columns["j"]
    importance = variance_importance(assignments, fitness)
    assert abs(importance["i"] - 0.8) < 0.03
    assert abs(importance["j"] - 0.2) < 0.03
    assert importance["idle"] < 0.02
    assert importance["one"] == 0
    assert abs(sum(importance.values()) - 1) < 1e-12


def test_many_values_gain_nothing_by_chance():
    shares = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        assignments = columns(rng, 24)
        fitness = assignments.columns["i"] + rng.normal(0, 0.5, 24)
        shares.append(variance_importance(assignments, fitness)["idle"])
    assert np.mean(shares) < 0.15


def test_nothing_to_tell_apart():
    rng = np.random.default_rng(0)
    assert variance_importance(columns(rng, 10), np.zeros(10)) == {}
    assert variance_importance(columns(rng, 1), np.ones(1)) == {}
    assert variance_importance(columns(rng, 0), np.zeros(0)) == {}


def test_importance_of_what_follows_goes_to_what_it_follows_from():
    problem = Problem.parse("""
        var i in {1, 2}
        var j in {1, 2}
        var k in {1, 2}
        aux area
        aux volume
        area = i * j
        volume = area * k * 4
    """)
    assert on_chosen({"i": 0.1, "area": 0.3, "volume": 0.6}, problem) == pytest.approx({"i": 0.4, "j": 0.3, "k": 0.3})
    assert on_chosen({}, problem).keys() <= {"i", "j", "k"}
