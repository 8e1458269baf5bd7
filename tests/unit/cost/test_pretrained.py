import numpy as np
import pytest

from flextune.cost.pretrained import TaskRecords, pretrain
from flextune.cost.quality import best_of_top, expected_correlation, held_out_correlation, rank_correlation
from flextune.cost.task_description import TaskDescription
from flextune.csp.assignment import Assignments
from flextune.errors import UsageError
from flextune.testing.cost_models import NAMES, example_assignments, example_secs


def example(seed=0, n=150, factor=1.0, operator="example", fail=False):
    assignments = example_assignments(np.random.default_rng(seed), n)
    secs = np.full(n, np.inf) if fail else factor * example_secs(assignments)
    return TaskRecords(TaskDescription(operator), NAMES, assignments, secs)


@pytest.mark.parametrize("loss", ["regression", "ranking"])
def test_another_task_is_ranked(loss):
    model = pretrain([example(0), example(1, factor=50.0), example(3, fail=True)], "here", loss)
    assert expected_correlation(model, example(2)) > 0.85
    assert model.training.tasks == 2
    assert model.training.operators == (("example", 300),)
    assert (model.training.target, model.training.loss, model.training.records) == ("here", loss, 300)


def test_failures_are_expected_where_there_were_some():
    model = pretrain([example(0), example(1)], "here")
    later = example(2)
    scores = model.of_task(NAMES, later.task).scores(later.assignments)
    failed = np.isinf(later.secs)
    assert scores[failed].mean() < scores[~failed].mean() / 3


def test_importance_of_the_variables():
    importance = pretrain([example()], "here").of_task(NAMES, TaskDescription()).importance()
    assert max(importance, key=importance.__getitem__) == "tile_i"
    assert sum(importance.values()) == pytest.approx(1)


def test_features_that_a_task_lacks_are_missing():
    model = pretrain([example()], "here")
    task = TaskDescription()
    only = Assignments({"tile_i": np.array([1, 16, 64])})
    scores = model.of_task(("tile_i",), task).scores(only)
    assert scores.argmax() == 1
    strangers = model.of_task(("q",), task).scores(Assignments({"q": np.array([1, 2, 3])}))
    assert len(set(strangers.tolist())) == 1


def test_the_order_of_names_does_not_matter():
    task = example()
    turned = TaskRecords(task.task, NAMES[::-1], task.assignments, task.secs)
    models = [pretrain([each], "here") for each in (task, turned)]
    assert models[0].features == models[1].features
    probe = example(5)
    scores = [model.of_task(NAMES, probe.task).scores(probe.assignments).tolist() for model in models]
    assert scores[0] == scores[1]


@pytest.mark.parametrize("tasks", [[], [example(fail=True)]])
def test_nothing_to_learn_from(tasks):
    with pytest.raises(UsageError, match=r"no record of x86:cpu=none ran; tune something first"):
        pretrain(tasks, "x86:cpu=none")


def test_unknown_loss():
    with pytest.raises(UsageError, match="expected one of regression, ranking, got 'hinge'"):
        pretrain([example()], "here", "hinge")


def test_held_out_tasks():
    assert held_out_correlation([example(0), example(1), example(2)], "here", "regression") > 0.85
    assert np.isnan(held_out_correlation([example(0), example(1, fail=True)], "here", "regression"))


def test_rank_correlation():
    assert rank_correlation(np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0, 1e9])) == pytest.approx(1)
    assert rank_correlation(np.array([1.0, 2.0, 3.0]), np.array([3.0, 2.0, 2.0])) == pytest.approx(-(3**0.5) / 2)
    assert rank_correlation(np.array([1.0, 1.0]), np.array([1.0, 2.0])) == 0


def test_best_of_top():
    assert best_of_top(np.array([3.0, 2.0, 1.0]), np.array([0.5, 0.25, 1.0]), 2) == 0.5
    assert best_of_top(np.array([3.0, 2.0]), np.zeros(2), 1) == 0
