import numpy as np

from flextune.cost.gp import GpCostModel, GpOptions
from flextune.cost.quality import rank_correlation
from flextune.testing.cost_models import NAMES, example_assignments, example_secs, measured


def test_only_the_fastest_rows_are_learned_from_where_there_are_too_many():
    assignments = example_assignments(np.random.default_rng(0), 150)
    secs = example_secs(assignments)
    model = GpCostModel(NAMES, 0, options=GpOptions(rows=40))
    model.update(measured(assignments, secs))
    fastest = np.argsort(secs)[:40]
    scores = model.predict(assignments.take(fastest))
    assert rank_correlation(scores, 1 / secs[fastest]) > 0.8


def test_measured_assignments_score_about_their_throughput():
    assignments = example_assignments(np.random.default_rng(0), 60)
    secs = 1 + np.log2(assignments.columns["tile_i"])
    model = GpCostModel(NAMES, 0)
    model.update(measured(assignments, secs))
    assert np.abs(model.predict(assignments) - secs.min() / secs).max() < 0.1
