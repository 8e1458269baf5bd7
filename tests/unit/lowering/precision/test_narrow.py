from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pytest
import tvm
from tvm import te, tirx, topi

from flextune.analysis.blocks import read_program
from flextune.analysis.moves import is_transpose
from flextune.lowering.precision.bfloat16 import from_bfloat16, to_bfloat16
from flextune.lowering.precision.narrow import narrow_function, product_factors


def random(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def run(function: Any, *arrays: np.ndarray) -> np.ndarray:
    kernel = tvm.compile(function, target=tvm.target.Target({"kind": "llvm"})).jit()
    result = function.params[-1].ty
    out = tvm.runtime.tensor(np.zeros([int(size) for size in result.shape], str(result.dtype)))
    kernel["main"](*[tvm.runtime.tensor(np.ascontiguousarray(array)) for array in arrays], out)
    return np.asarray(out.numpy())


def stored(array: np.ndarray) -> np.ndarray:
    """What is left of an array after it was stored as bfloat16."""
    return from_bfloat16(to_bfloat16(array))


def convolution() -> Any:
    """pad -> 3x3 conv2d NHWC -> + bias -> relu."""
    x, w = te.placeholder((1, 6, 6, 4), name="x"), te.placeholder((3, 3, 4, 8), name="w")
    b = te.placeholder((1, 1, 1, 8), name="b")
    y = topi.nn.conv2d_nhwc(x, w, stride=1, padding=1, dilation=1)
    return te.create_prim_func([x, w, b, topi.nn.relu(topi.add(y, b))])


def expected(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    padded = np.pad(x.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    total = sum(padded[:, i : i + 6, j : j + 6] @ w[i, j].astype(np.float64) for i in range(3) for j in range(3))
    return np.maximum(np.asarray(total) + b, 0).astype(np.float32)


def test_a_convolution_takes_and_gives_bfloat16() -> None:
    x, w, b = random(0, 1, 6, 6, 4), random(1, 3, 3, 4, 8), random(2, 1, 1, 1, 8)
    narrowed = narrow_function(convolution(), {0, 3}, {1, 2})
    assert narrowed is not None
    assert (narrowed.weights, narrowed.products) == ({1}, 1)
    got = run(narrowed.function, to_bfloat16(x), to_bfloat16(w), b)
    want = expected(stored(x), stored(w), b)
    np.testing.assert_allclose(from_bfloat16(got), want, rtol=2**-8, atol=1e-6)


def test_float32_parameters_are_rounded_inside() -> None:
    x, w, b = random(0, 1, 6, 6, 4), random(1, 3, 3, 4, 8), random(2, 1, 1, 1, 8)
    narrowed = narrow_function(convolution(), (), ())
    assert narrowed is not None
    assert not narrowed.weights
    np.testing.assert_allclose(run(narrowed.function, x, w, b), expected(stored(x), stored(w), b), rtol=1e-5, atol=1e-6)


def test_without_products_only_the_storage_changes() -> None:
    x, w, b = random(0, 1, 6, 6, 4), random(1, 3, 3, 4, 8), random(2, 1, 1, 1, 8)
    narrowed = narrow_function(convolution(), {0}, {1, 2}, products=False)
    assert narrowed is not None
    assert (narrowed.weights, narrowed.products) == (frozenset(), 0)
    np.testing.assert_allclose(run(narrowed.function, to_bfloat16(x), w, b), expected(stored(x), w, b), atol=1e-5)


@pytest.mark.parametrize(("rows", "constants", "products"), [(1, {1}, 0), (2, {1}, 1), (1, (), 1)])
def test_light_products_of_a_single_row_stay_float32(rows: int, constants: Collection[int], products: int) -> None:
    """Only with constants: the keys of an attention with one query are not light."""
    x, w = te.placeholder((rows, 32), name="x"), te.placeholder((32, 48), name="w")
    function = te.create_prim_func([x, w, topi.nn.matmul(x, w)])
    light = narrow_function(function, (), constants, light_bytes=32 * 48 * 4)
    heavy = narrow_function(function, (), constants, light_bytes=32 * 48 * 4 - 1)
    assert light is not None
    assert heavy is not None
    assert (light.products, heavy.products) == (products, 1)


@pytest.mark.parametrize(("results", "products"), [(16, 0), (17, 1)])
def test_light_products_with_few_results_stay_float32(results: int, products: int) -> None:
    x, w = te.placeholder((40, 32), name="x"), te.placeholder((32, results), name="w")
    function = te.create_prim_func([x, w, topi.nn.matmul(x, w)])
    light = narrow_function(function, (), {1}, light_bytes=10 * 32 * results * 4)
    heavy = narrow_function(function, (), {1}, light_bytes=10 * 32 * results * 4 - 1)
    assert light is not None
    assert heavy is not None
    assert (light.products, heavy.products) == (products, 1)


@pytest.mark.parametrize(("groups", "products"), [(1, 1), (2, 1), (4, 0), (32, 0)])
def test_groups_that_fill_a_vector_are_products(groups: int, products: int) -> None:
    x, w = random(0, 1, 3, 3, 32), random(1, 1, 1, 32 // groups, 32)
    tensors = te.placeholder(x.shape, name="x"), te.placeholder(w.shape, name="w")
    y = topi.nn.group_conv2d_nhwc(*tensors, 1, 0, 1, groups)
    narrowed = narrow_function(te.create_prim_func([*tensors, y]), {0}, {1})
    assert narrowed is not None
    assert (narrowed.weights, narrowed.products) == ({1} if products else frozenset(), products)
    taps = stored(w) if products else w
    size = 32 // groups
    parts = [
        stored(x)[..., g * size : (g + 1) * size] @ taps[0, 0, :, g * size : (g + 1) * size] for g in range(groups)
    ]
    got = run(narrowed.function, to_bfloat16(x), to_bfloat16(w) if products else w)
    np.testing.assert_allclose(got, np.concatenate(parts, axis=-1), rtol=1e-4, atol=1e-5)


def test_sums_are_kept_in_float32() -> None:
    x = te.placeholder((4, 512), name="x")
    narrowed = narrow_function(te.create_prim_func([x, topi.sum(x, axis=1)]), {0, 1}, ())
    assert narrowed is not None
    values = 1 + random(3, 4, 512) * 0.01
    got = from_bfloat16(run(narrowed.function, to_bfloat16(values)))
    np.testing.assert_allclose(got, stored(values).sum(axis=1, dtype=np.float64), rtol=2**-8)


def test_a_sum_that_feeds_a_product_is_rounded_once_it_is_complete() -> None:
    x, w, v = te.placeholder((8, 16), name="x"), te.placeholder((16, 4), name="w"), te.placeholder((4, 8), name="v")
    narrowed = narrow_function(te.create_prim_func([x, w, v, topi.matmul(topi.matmul(x, w), v)]), (), {1, 2})
    assert narrowed is not None
    assert (narrowed.weights, narrowed.products) == ({1, 2}, 2)
    arrays = random(0, 8, 16), random(1, 16, 4), random(2, 4, 8)
    got = run(narrowed.function, arrays[0], *map(to_bfloat16, arrays[1:]))
    first = stored((stored(arrays[0]).astype(np.float64) @ stored(arrays[1])).astype(np.float32))
    np.testing.assert_allclose(got, first @ stored(arrays[2]), rtol=2**-6, atol=1e-2)


def test_a_depthwise_convolution_is_no_product_of_matrices() -> None:
    x, w = te.placeholder((1, 8, 8, 16), name="x"), te.placeholder((3, 3, 16, 1), name="w")
    function = te.create_prim_func([x, w, topi.nn.depthwise_conv2d_nhwc(x, w, 1, 1, 1)])
    program = read_program(function)
    assert program is not None
    assert not any(product_factors(block) for block in program.blocks)
    narrowed = narrow_function(function, {0, 2}, {1})
    assert narrowed is not None
    assert narrowed.products == 0


def test_moved_elements_keep_their_bits() -> None:
    x = te.placeholder((4, 6), name="x")
    narrowed = narrow_function(te.create_prim_func([x, topi.transpose(x)]), {0, 1}, ())
    assert narrowed is not None
    patterns = np.arange(24, dtype=np.uint16).reshape(4, 6) + np.uint16(0x7F80)  # infinity and kinds of NaN
    assert np.array_equal(run(narrowed.function, patterns), patterns.T)


def test_nan_and_infinity_go_through() -> None:
    x, y = te.placeholder((6,), name="x"), None
    y = te.compute((6,), lambda i: tirx.max(x[i], 0.0) + 1.0, name="y")
    narrowed = narrow_function(te.create_prim_func([x, y]), {0, 1}, ())
    assert narrowed is not None
    values = np.array([np.nan, np.inf, -np.inf, 1e38, -0.0, 3.0], np.float32)
    got = from_bfloat16(run(narrowed.function, to_bfloat16(values)))
    np.testing.assert_array_equal(got[1:], [np.inf, 1, stored(np.float32([1e38]))[0], 1, 4])


def test_functions_with_other_statements_stay_as_they_are() -> None:
    x = te.placeholder((2, 8), name="x")
    function = te.create_prim_func([x, topi.argmax(x, axis=1)])
    assert narrow_function(function, {0}, ()) is None


def test_a_transposed_factor_is_rounded_first_and_then_moved() -> None:
    x, y = te.placeholder((2, 8, 16), name="x"), te.placeholder((2, 12, 16), name="y")
    function = te.create_prim_func([x, y, topi.nn.batch_matmul(x, topi.transpose(y, (0, 2, 1)), transpose_b=False)])
    narrowed = narrow_function(function, (), ())
    assert narrowed is not None
    assert narrowed.products == 1
    program = read_program(narrowed.function)
    assert program is not None
    assert [block.name for block in program.blocks if is_transpose(block)] == ["T_transpose"]
    a, b = random(0, 2, 8, 16), random(1, 2, 12, 16)
    want = np.einsum("bik,bjk->bij", stored(a).astype(np.float64), stored(b).astype(np.float64))
    np.testing.assert_allclose(run(narrowed.function, a, b), want, rtol=1e-5, atol=1e-6)
