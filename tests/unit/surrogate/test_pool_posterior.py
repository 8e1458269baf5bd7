import numpy as np
import pytest

from flextune.surrogate.covariance import Kernel
from flextune.surrogate.gaussian_process import GaussianProcess, GaussianProcessOptions
from flextune.surrogate.pool_posterior import PoolPosterior

KERNEL = Kernel(np.array([0.5, 2.0, 1.0]), np.array([0.3, 0.1, 1.5]), smooth=0.7, stepped=0.4, noise=0.02)


def data(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 5, (rows, 3)) / 4, rng.normal(size=rows)


def directly(x: np.ndarray, y: np.ndarray, pool: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    weights = np.linalg.solve(KERNEL.among(x), KERNEL.between(x, pool)).T
    variance = KERNEL.variance - np.einsum("ij,ji->i", weights, KERNEL.between(x, pool))
    return weights @ y, np.sqrt(variance)


def posterior(x: np.ndarray, y: np.ndarray, pool: np.ndarray, room: int = 32) -> PoolPosterior:
    return PoolPosterior(KERNEL, x, y, pool.astype(np.float32), room)


def test_is_the_dense_formula():
    (x, y), (pool, _) = data(30), data(50, seed=1)
    found = posterior(x, y, pool)
    mean, std = directly(x, y, pool)
    np.testing.assert_allclose(found.mean, mean, atol=2e-4)
    np.testing.assert_allclose(found.std, std, atol=2e-3)


def test_observed_one_by_one_is_all_at_once():
    (x, y), (pool, _) = data(40), data(50, seed=1)
    found = posterior(x[:10], y[:10], pool)
    for row, value in zip(x[10:], y[10:], strict=True):
        found.observe(row, float(value))
    mean, std = directly(x, y, pool)
    np.testing.assert_allclose(found.mean, mean, atol=5e-4)
    np.testing.assert_allclose(found.std, std, atol=5e-3)
    assert found.room == 2


def test_an_expected_value_narrows_without_moving():
    (x, y), (pool, _) = data(15), data(50, seed=1)
    found = posterior(x, y, pool)
    before, std = found.mean, found.std
    found.observe(pool[7], None)
    np.testing.assert_array_equal(found.mean, before)
    assert found.std[7] < std[7]
    assert (found.std <= std + 1e-6).all()


def test_restored_it_goes_on_as_if_nothing_had_been():
    (x, y), (pool, _) = data(20), data(50, seed=1)
    found, other = posterior(x[:15], y[:15], pool), posterior(x[:15], y[:15], pool)
    known = found.state
    found.observe(pool[3], None)
    found.observe(pool[4], None)
    found.restore(known)
    for row, value in zip(x[15:], y[15:], strict=True):
        found.observe(row, float(value))
        other.observe(row, float(value))
    np.testing.assert_array_equal(found.mean, other.mean)
    np.testing.assert_array_equal(found.std, other.std)


@pytest.mark.parametrize("rows", [1, 60])
def test_agrees_with_the_process_it_is_made_of(rows):
    (x, y), (pool, _) = data(rows), data(50, seed=1)
    y = (y - y.mean()) / (y.std() or 1.0)
    mean, std = GaussianProcess(GaussianProcessOptions(steps=0), KERNEL).fit(x, y).predict(pool)
    found = posterior(x, y, pool)
    np.testing.assert_allclose(found.mean, mean, atol=5e-4)
    np.testing.assert_allclose(found.std, std, atol=5e-3)
