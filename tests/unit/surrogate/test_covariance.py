import numpy as np
import pytest

from flextune.surrogate.covariance import Kernel
from flextune.surrogate.likelihood import Likelihood
from flextune.surrogate.quasi_newton import minimised

KERNEL = Kernel(np.array([0.5, 2.0, 1.0]), np.array([0.3, 0.1, 1.5]), smooth=0.7, stepped=0.4, noise=0.02)


def points(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, (rows, 3)) / 3


def directly(a: np.ndarray, b: np.ndarray) -> float:
    far = np.sqrt(5) * np.sqrt((((a - b) / KERNEL.lengths) ** 2).sum())
    smooth = KERNEL.smooth * (1 + far + far**2 / 3) * np.exp(-far)
    return float(smooth + KERNEL.stepped * np.exp(-(KERNEL.weights * (a != b)).sum()))


@pytest.mark.parametrize(("kind", "accuracy"), [(np.float64, 1e-7), (np.float32, 1e-3)])
def test_between_is_the_formula(kind, accuracy):
    a, b = points(6), points(9, seed=1)
    expected = [[directly(row, other) for other in b] for row in a]
    found = KERNEL.between(a.astype(kind), b.astype(kind))
    assert found.dtype == kind
    np.testing.assert_allclose(found, expected, atol=accuracy)


def test_among_has_the_noise_on_its_diagonal_only():
    x = points(5)
    covariance = KERNEL.among(x)
    np.testing.assert_allclose(np.diag(covariance), KERNEL.variance + KERNEL.noise)
    np.testing.assert_allclose(covariance - np.diag(np.diag(covariance)), KERNEL.between(x, x) * (1 - np.eye(5)))


def test_vector_round_trips():
    back = Kernel.of_vector(KERNEL.vector())
    np.testing.assert_allclose(back.vector(), KERNEL.vector())
    assert back.noise == pytest.approx(KERNEL.noise)


def test_gradient_is_the_difference_quotient():
    x = points(20) + 0.01 * np.random.default_rng(2).random((20, 3)).round(1)
    likelihood = Likelihood.of(x, np.random.default_rng(1).normal(size=20))
    vector = KERNEL.vector()
    _, gradient = likelihood.loss(vector)
    for index in range(len(vector)):
        step = np.zeros_like(vector)
        step[index] = 1e-5
        quotient = (likelihood.loss(vector + step)[0] - likelihood.loss(vector - step)[0]) / 2e-5
        assert gradient[index] == pytest.approx(quotient, rel=1e-4, abs=1e-5)


def test_finds_the_feature_that_matters():
    x = np.random.default_rng(0).random((60, 3))
    kernel = Likelihood.of(x, np.sin(6 * x[:, 1])).best(Kernel.typical(3), steps=20)
    assert kernel.lengths[1] < 0.5 * min(kernel.lengths[0], kernel.lengths[2])


def test_finds_the_flag_that_matters():
    x = np.random.default_rng(0).integers(0, 9, (80, 3)) / 8
    value = np.random.default_rng(1).normal(size=9)[(8 * x[:, 2]).round().astype(int)]
    kernel = Likelihood.of(x, value).best(Kernel.typical(3), steps=20)
    assert kernel.weights[2] > 2 * max(kernel.weights[0], kernel.weights[1])


def test_best_is_never_worse_than_the_start():
    likelihood = Likelihood.of(points(30), np.random.default_rng(1).normal(size=30))
    found = likelihood.best(KERNEL, steps=10)
    assert likelihood.loss(found.vector())[0] < likelihood.loss(KERNEL.vector())[0]


def test_minimises_rosenbrock():
    def rosenbrock(p):
        gradient = [-2 * (1 - p[0]) - 400 * p[0] * (p[1] - p[0] ** 2), 200 * (p[1] - p[0] ** 2)]
        return (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2, np.array(gradient)

    assert rosenbrock(minimised(rosenbrock, np.array([-1.0, 2.0]), 200))[0] < 0.1


def test_stays_where_there_is_no_descent():
    start = np.array([0.5])
    assert minimised(lambda p: (0.0, np.zeros(1)), start, 5) == start
