import numpy as np
import pytest

from flextune.errors import UsageError
from flextune.surrogate.gaussian_process import GaussianProcess, GaussianProcessOptions, spread


def data(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 8, (rows, 4)) / 7
    return x, 3 + x[:, 0] * x[:, 1] + 0.5 * (x[:, 2] == 0) + 0.01 * rng.normal(size=rows)


def test_is_the_dense_formula():
    x, y = data(40)
    new, _ = data(15, seed=1)
    process = GaussianProcess().fit(x, y)
    mean, std = process.predict(new)
    kernel = process.kernel
    weights = np.linalg.solve(kernel.among(x), kernel.between(x, new)).T
    np.testing.assert_allclose(mean, y.mean() + weights @ (y - y.mean()), rtol=1e-6)
    variance = np.diag(kernel.between(new, new) - weights @ kernel.between(x, new))
    np.testing.assert_allclose(std, y.std() * np.sqrt(variance), rtol=1e-4, atol=1e-5)


def test_added_one_by_one_is_all_at_once():
    x, y = data(50)
    new, _ = data(15, seed=1)
    process = GaussianProcess().fit(x[:20], y[:20]).add(x[20:35], y[20:35]).add(x[35:], y[35:])
    mean, std = process.predict(new)
    dense = np.linalg.solve(process.kernel.among(x), process.kernel.between(x, new)).T
    offset = y[:20].mean()
    np.testing.assert_allclose(mean, offset + dense @ (y - offset), rtol=1e-6)
    at_once = GaussianProcess(GaussianProcessOptions(steps=0), process.kernel).fit(x, y)
    np.testing.assert_allclose(std / y[:20].std(), at_once.predict(new)[1] / y.std(), rtol=1e-6)


def test_learns_a_function():
    x, y = data(150)
    new, expected = data(200, seed=1)
    mean, std = GaussianProcess().fit(x, y).predict(new)
    assert np.sqrt(((mean - expected) ** 2).mean()) < 0.2 * expected.std()
    assert (np.abs(mean - expected) < 4 * std + 0.1).mean() > 0.95


def test_constant_values_and_repeated_rows():
    x = np.zeros((6, 2))
    mean, std = GaussianProcess().fit(x, np.full(6, 2.5)).predict(np.array([[0.0, 0.0], [1.0, 1.0]]))
    np.testing.assert_allclose(mean, 2.5)
    assert np.isfinite(std).all()


def test_predicts_nothing_for_no_rows():
    x, y = data(5)
    mean, std = GaussianProcess().fit(x, y).predict(np.empty((0, 4)))
    assert mean.shape == std.shape == (0,)


def test_more_rows_than_are_fitted_to():
    x, y = data(90)
    process = GaussianProcess(GaussianProcessOptions(kernel_rows=30)).fit(x, y)
    assert np.corrcoef(process.predict(x)[0], y)[0, 1] > 0.9


@pytest.mark.parametrize(("x", "y"), [((0, 2), (0,)), ((3, 2), (2,)), ((3,), (3,))])
def test_refuses_other_shapes(x, y):
    with pytest.raises(UsageError, match="at least one row"):
        GaussianProcess().fit(np.zeros(x), np.zeros(y))


def test_refuses_to_predict_before_it_was_fitted():
    with pytest.raises(UsageError, match="not fitted"):
        GaussianProcess().predict(np.zeros((1, 2)))


def test_spread_keeps_the_extremes():
    y = np.random.default_rng(0).normal(size=100)
    kept = spread(y, 10)
    assert len(set(kept.tolist())) == 10
    assert {y.argmin(), y.argmax()} <= set(kept.tolist())
    assert spread(y[:7], 10).tolist() == list(range(7))
