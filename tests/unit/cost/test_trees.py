import numpy as np

from flextune.cost.trees import TreesCostModel
from flextune.testing.cost_models import NAMES, example_assignments, example_secs, measured


def taught(seed=0, n=64):
    assignments = example_assignments(np.random.default_rng(0), n)
    model = TreesCostModel(NAMES, seed)
    model.update(measured(assignments, example_secs(assignments)))
    return model


def test_scores_are_relative_throughput():
    assignments = example_assignments(np.random.default_rng(0), 200)
    secs = example_secs(assignments)
    errors = taught(n=200).predict(assignments) - secs.min() / secs
    assert np.abs(errors).mean() < 0.05


def test_seed_matters():
    probe = example_assignments(np.random.default_rng(1), 50)
    assert taught(0).predict(probe).tolist() != taught(1).predict(probe).tolist()


def test_trains_once_per_change(monkeypatch):
    model = taught()
    trainings = []
    train = TreesCostModel._train
    monkeypatch.setattr(TreesCostModel, "_train", lambda self: trainings.append(1) or train(self))
    probe = example_assignments(np.random.default_rng(1), 5)
    model.predict(probe)
    model.importance()
    model.update([])
    model.predict(probe)
    assert len(trainings) == 1
