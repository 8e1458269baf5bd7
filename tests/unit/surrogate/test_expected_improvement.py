import math

import numpy as np
import pytest

from flextune.surrogate.expected_improvement import expected_improvement, upper_tail


@pytest.mark.parametrize("z", [0.0, 0.3, 1.0, 3.0, 8.0, 20.0])
def test_tail_of_the_normal_distribution(z):
    assert upper_tail(np.array([z]))[0] == pytest.approx(0.5 * math.erfc(z / math.sqrt(2)), rel=3e-7)


@pytest.mark.parametrize("mean", [-3.0, -0.5, 0.0, 0.4, 2.0, 5.0])
@pytest.mark.parametrize("std", [0.3, 1.0])
def test_is_the_integral(mean, std):
    y = np.linspace(mean - 40 * std, 0.0, 2_000_001)
    density = np.exp(-0.5 * ((y - mean) / std) ** 2) / (std * math.sqrt(2 * math.pi))
    expected = np.trapezoid(-y * density, y) if mean - 40 * std < 0 else 0.0
    assert expected_improvement(np.array([mean]), np.array([std]), 0.0)[0] == pytest.approx(
        expected, rel=1e-4, abs=1e-12
    )


def test_orders_hopeless_candidates_still():
    mean = np.linspace(5, 12, 50)
    improvement = expected_improvement(mean, np.ones(50), 0.0)
    assert (np.diff(improvement) < 0).all()


def test_single_precision():
    mean, std = np.linspace(-2, 4, 30), np.full(30, 0.7)
    single = expected_improvement(mean.astype(np.float32), std.astype(np.float32), 0.1)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected_improvement(mean, std, 0.1), rtol=1e-3, atol=1e-6)
