import numpy as np
import pytest

from flextune.errors import UsageError
from flextune.surrogate.extra_trees import ExtraTrees, ExtraTreesOptions


def fitted(x: np.ndarray, y: np.ndarray, **options: int) -> ExtraTrees:
    return ExtraTrees(ExtraTreesOptions(**options)).fit(x, y, np.random.default_rng(0))


def data(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(seed).integers(0, 6, (rows, 5)) / 5
    return x, 2.0 * (x[:, 0] > 0.5) + (x[:, 1] == x[:, 2]) + 0.3 * x[:, 3]


def test_fully_grown_trees_know_their_rows():
    x, y = np.random.default_rng(0).random((60, 4)), np.random.default_rng(1).normal(size=60)
    mean, std = fitted(x, y, split=2, trees=7).predict(x)
    np.testing.assert_allclose(mean, y)
    np.testing.assert_allclose(std, std.min())


def test_leaves_are_means_of_their_rows():
    x, y = np.repeat([[0.0], [1.0]], 5, axis=0), np.arange(10.0)
    mean, std = fitted(x, y, trees=3, tries=20).predict(np.array([[0.0], [1.0]]))
    np.testing.assert_allclose(mean, [2.0, 7.0])
    np.testing.assert_allclose(std, np.sqrt(2.0))


def test_learns_steps_and_interactions():
    x, y = data(400, 0)
    new, expected = data(200, 1)
    mean, _ = fitted(x, y).predict(new)
    assert np.corrcoef(mean, expected)[0, 1] > 0.9


def test_is_less_sure_where_values_vary():
    x, y = np.random.default_rng(0).random((200, 2)) * 0.4, np.random.default_rng(1).normal(size=200)
    y[x[:, 0] < 0.2] = 0
    _, std = fitted(x, y).predict(np.array([[0.1, 0.2], [0.35, 0.2]]))
    assert std[1] > 1.5 * std[0]


def test_a_seed_is_a_forest():
    x, y = data(50, 0)
    np.testing.assert_array_equal(fitted(x, y).predict(x), fitted(x, y).predict(x))


@pytest.mark.parametrize(("rows", "features"), [(1, 3), (5, 0), (4, 2)])
def test_little_to_learn_from(rows, features):
    mean, std = fitted(np.zeros((rows, features)), np.full(rows, 3.0)).predict(np.ones((2, features)))
    np.testing.assert_allclose(mean, 3.0)
    assert (std > 0).all()


def test_predicts_nothing_for_no_rows():
    x, y = data(9, 0)
    mean, std = fitted(x, y).predict(np.empty((0, 5)))
    assert mean.shape == std.shape == (0,)


def test_refuses_other_shapes():
    with pytest.raises(UsageError, match="at least one row"):
        ExtraTrees().fit(np.zeros((3, 2)), np.zeros(2), np.random.default_rng(0))
