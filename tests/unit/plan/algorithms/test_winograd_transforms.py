"""The matrices compute convolutions exactly, and rounding stays within the stated bound."""

from __future__ import annotations

import numpy as np
import pytest

from flextune.errors import UsageError
from flextune.plan.algorithms.winograd_lines import data_line, result_line
from flextune.plan.algorithms.winograd_transforms import F2, F4, Transforms, transforms

BOTH = pytest.mark.parametrize("matrices", [F2, F4], ids=["F2", "F4"])


def direct(tile: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The convolution of [edge, edge, ci] with [3, 3, ci, co], in float64."""
    edge = tile.shape[0] - 2
    rows = [[np.einsum("yxi,yxio->o", tile[y : y + 3, x : x + 3], weight) for x in range(edge)] for y in range(edge)]
    return np.array(rows)


def filtered(matrices: Transforms, tile: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The same by minimal filtering, every step in the type of `tile`; the weights rounded once."""
    inputs, scale = matrices.inputs, lambda factor, value: np.asarray(factor, tile.dtype) * value
    transformed = matrices.transform_weights(weight)
    if tile.dtype == np.float64:
        transformed = np.einsum("ar,bs,rsio->abio", matrices.weight, matrices.weight, weight).reshape(
            inputs**2, *weight.shape[2:]
        )
    rows = [data_line(matrices, list(tile[:, column]), scale) for column in range(inputs)]
    spectrum = [data_line(matrices, [rows[column][a] for column in range(inputs)], scale) for a in range(inputs)]
    product = np.einsum("ei,eio->eo", np.reshape(spectrum, (inputs**2, -1)), transformed)
    grid = product.reshape(inputs, inputs, -1)
    back = [result_line(matrices, list(grid[:, b]), scale) for b in range(inputs)]
    lines = [result_line(matrices, [back[b][i] for b in range(inputs)], scale) for i in range(matrices.outputs)]
    return np.array(lines)


@BOTH
def test_exact_arithmetic_gives_the_convolution(matrices: Transforms) -> None:
    rng = np.random.default_rng(0)
    tile, weight = rng.standard_normal((matrices.inputs, matrices.inputs, 3)), rng.standard_normal((3, 3, 3, 2))
    np.testing.assert_allclose(filtered(matrices, tile, weight), direct(tile, weight), rtol=1e-6, atol=1e-6)


@BOTH
def test_lines_are_the_matrices(matrices: Transforms) -> None:
    unit = list(np.eye(matrices.inputs))
    scale = lambda factor, value: factor * value  # noqa: E731
    np.testing.assert_allclose(data_line(matrices, unit, scale), matrices.data, atol=1e-7)
    np.testing.assert_allclose(result_line(matrices, unit, scale), matrices.result, atol=1e-6)


@BOTH
@pytest.mark.parametrize("channels", [1, 64, 512])
def test_rounding_stays_within_the_bound(matrices: Transforms, channels: int) -> None:
    rng = np.random.default_rng(channels)
    shape = (matrices.inputs, matrices.inputs, channels)
    weight = rng.standard_normal((3, 3, channels, 4)).astype(np.float32)
    largest = 0.0
    for tile in (
        rng.uniform(-1, 1, shape),
        np.ones(shape),
        np.sign(rng.uniform(-1, 1, shape)),
        rng.uniform(0, 1, shape),
    ):
        data = tile.astype(np.float32)
        error = np.abs(filtered(matrices, data, weight) - direct(data.astype(np.float64), weight.astype(np.float64)))
        scale = np.abs(data).max() * np.abs(weight).sum(axis=(0, 1, 2))
        assert (error <= matrices.error_bound(channels) * scale).all()
        largest = max(largest, float((error / scale).max()))
    assert largest > 0  # something was rounded, or the test saw nothing


def test_the_points_of_f4_err_less_than_the_usual_ones() -> None:
    rng = np.random.default_rng(0)
    tile, weight = (
        rng.standard_normal((6, 6, 64)).astype(np.float32),
        rng.standard_normal((3, 3, 64, 64)).astype(np.float32),
    )
    exact = direct(tile.astype(np.float64), weight.astype(np.float64))
    usual = Transforms(4, (1.0, 2.0))
    ours, theirs = (np.abs(filtered(matrices, tile, weight) - exact).max() for matrices in (F4, usual))
    assert ours < theirs
    assert F4.amplification < usual.amplification / 4


def test_weights_are_rounded_once() -> None:
    weight = np.random.default_rng(0).standard_normal((3, 3, 5, 7)).astype(np.float32)
    exact = np.einsum("ar,bs,rsio->abio", F4.weight, F4.weight, weight.astype(np.float64)).reshape(36, 5, 7)
    np.testing.assert_array_equal(F4.transform_weights(weight), exact.astype(np.float32))


@pytest.mark.parametrize("pairs", [(1.0,), (1.0, 1.0), (0.0, 1.0)])
def test_points_must_be_distinct_and_enough(pairs: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="distinct positive points"):
        Transforms(4, pairs)


def test_unknown_variant_is_named() -> None:
    with pytest.raises(UsageError, match="2, 4"):
        transforms(3)
