import numpy as np
import pytest

from flextune.cost.failures import chances, fit_chance
from flextune.cost.learned import Expectation, mixed
from flextune.cost.learner import calibrated, scaled_scores
from flextune.cost.trees import TreesCostModel, TreesOptions
from flextune.testing.cost_models import NAMES, example_assignments, example_secs, measured

RNG = np.random.default_rng(0)


def test_an_expectation_that_holds_is_followed():
    expected = RNG.random(200)
    line = Expectation.of(expected, 0.3 + 0.5 * expected)
    assert line.slope == pytest.approx(0.5, rel=0.01)
    assert line.base(np.array([1.0]))[0] == pytest.approx(0.8, rel=0.01)


def test_an_expectation_is_doubted_while_little_is_measured():
    few = np.array([0.5, 0.55])
    assert 0 < Expectation.of(few, few).slope < 0.1


@pytest.mark.parametrize("expected", [np.full(20, 0.4), np.linspace(1, 0, 20), np.array([0.7])])
def test_an_expectation_that_says_nothing_or_the_opposite_is_dropped(expected):
    throughput = np.linspace(0.1, 0.9, len(expected))
    assert Expectation.of(expected, throughput) == Expectation(float(throughput.mean()), 0.0)


def test_mixed_shares():
    assert mixed({"a": 1.0}, {"a": 0.5, "b": 0.5}, 0.5) == {"a": 0.75, "b": 0.25}
    assert mixed({}, {"b": 1.0}, 0.0) == {}


def test_scores_become_throughput_in_the_same_order():
    scores = RNG.standard_normal(100)
    throughput = np.exp(-1 + 0.5 * scores)
    assert np.allclose(scaled_scores(scores, calibrated(scores, throughput)), throughput)
    opposite = scaled_scores(scores, calibrated(-scores, throughput))
    assert (np.argsort(opposite) == np.argsort(scores)).all()
    assert np.isfinite(scaled_scores(np.array([1e9, -1e9]), (0.0, 1.0))).all()


def test_the_chance_to_run():
    rows = np.arange(100, dtype=np.float32)[:, None]
    ran = rows[:, 0] < 60
    found = chances(fit_chance(rows, ran, 0), rows)
    assert found[:50].min() > 0.9
    assert found[70:].max() < 0.1
    assert fit_chance(rows, np.ones(100, dtype=bool), 0) is None
    assert fit_chance(rows, np.zeros(100, dtype=bool), 0) is None
    assert chances(None, rows).tolist() == [1.0] * 100


@pytest.mark.parametrize("loss", ["regression", "ranking"])
def test_what_fails_scores_near_nothing(loss):
    assignments = example_assignments(np.random.default_rng(0), 300)
    secs = example_secs(assignments)
    model = TreesCostModel(NAMES, 0, options=TreesOptions(loss=loss))
    model.update(measured(assignments, secs))
    scores = model.predict(assignments)
    assert scores[np.isinf(secs)].mean() < 0.1 * scores[np.isfinite(secs)].mean()


def test_no_variables_at_all():
    model = TreesCostModel((), 0)
    space = type(example_assignments(RNG, 1))({}, 1)
    model.update(measured(space, np.array([1.0])))
    assert model.predict(space).shape == (1,)
    assert model.importance() == {}
