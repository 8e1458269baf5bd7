import numpy as np

from flextune.csp.assignment import Assignments
from flextune.search.evolution.nearest import NearestRanking
from flextune.testing.cost_models import NAMES, example_assignments, example_secs, measured
from flextune.trial.history import History


def taught(n):
    history = History(NAMES)
    assignments = example_assignments(np.random.default_rng(0), n)
    history.add(measured(assignments, example_secs(assignments)))
    return history, NearestRanking(history, NAMES)


def test_a_measured_one_is_its_own_nearest():
    history, ranking = taught(100)
    assert np.abs(ranking.predict(history.assignments()) - history.fitness()).mean() < 0.02


def test_ranks_unseen_ones():
    _, ranking = taught(150)
    unseen = example_assignments(np.random.default_rng(1), 300)
    order = np.argsort(-ranking.predict(unseen))
    secs = np.minimum(example_secs(unseen), 1.0)
    assert secs[order[:30]].mean() < 0.6 * np.median(secs)


def test_importance_is_that_of_the_measurements():
    assert max(taught(200)[1].importance().items(), key=lambda item: item[1])[0] == "tile_i"


def test_few_or_none_measured():
    probe = example_assignments(np.random.default_rng(1), 4)
    assert taught(0)[1].predict(probe).tolist() == [0, 0, 0, 0]
    for n in (1, 2, 5):
        assert np.isfinite(taught(n)[1].predict(probe)).all()


def test_a_variable_of_one_value_does_no_harm():
    history = History(("i", "one"))
    history.add(measured(Assignments({"i": np.array([1, 9]), "one": np.array([3, 3])}), np.array([0.1, 0.2])))
    probe = Assignments({"i": np.array([1, 9, 8]), "one": np.array([3, 3, 3])})
    first, second, third = NearestRanking(history, ("i", "one")).predict(probe)
    assert first > 0.95
    assert second < 0.55
    assert second < third < 0.7
