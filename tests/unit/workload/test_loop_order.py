"""References run their sums in an order that compilers can vectorise, and compute the same."""

from __future__ import annotations

import numpy as np
import pytest

tvm = pytest.importorskip("tvm")
from tvm import te, tirx, topi  # noqa: E402

from flextune.workload.loop_order import results_innermost  # noqa: E402


def _loops(function, number=0):
    body = function.body.block.body
    nest = list(body)[number] if isinstance(body, tirx.SeqStmt) else body
    names = []
    while isinstance(nest, tirx.For):
        names.append(str(nest.loop_var.name))
        nest = nest.body
    return names


def _product(transposed=False, stride=1):
    a = te.placeholder((5, 7), name="a")
    b = te.placeholder((19, 7) if transposed else (7, 19 * stride), name="b")
    k = te.reduce_axis((0, 7), name="k")

    def term(i, j):
        return a[i, k] * (b[j, k] if transposed else b[k, j * stride])

    c = te.compute((5, 19), lambda i, j: te.sum(term(i, j), axis=k), name="c")
    return te.create_prim_func([a, b, c])


def _run(function, *arrays, shape):
    result = tvm.runtime.tensor(np.zeros(shape, "float32"))
    tvm.compile(function, target="llvm").jit()["main"](*map(tvm.runtime.tensor, arrays), result)
    return result.numpy()


def test_results_that_lie_side_by_side_are_innermost():
    assert _loops(_product()) == ["i", "j", "k"]
    assert _loops(results_innermost(_product())) == ["i", "k", "j"]


@pytest.mark.parametrize("function", [_product(transposed=True), _product(stride=2)])
def test_operands_that_do_not_lie_side_by_side_keep_the_order(function):
    assert results_innermost(function).same_as(function)


def test_programs_without_sums_stay():
    a = te.placeholder((4, 4), name="a")
    function = te.create_prim_func([a, topi.nn.relu(a)])
    assert results_innermost(function).same_as(function)


def test_a_convolution_with_padding_computes_what_numpy_does():
    rng = np.random.default_rng(0)
    image, kernel = (rng.standard_normal(shape).astype("float32") for shape in ((1, 6, 7, 3), (3, 3, 3, 10)))
    data, weights = te.placeholder(image.shape, name="x"), te.placeholder(kernel.shape, name="w")
    function = te.create_prim_func([data, weights, topi.nn.relu(topi.nn.conv2d_nhwc(data, weights, 1, 1, 1))])
    moved = results_innermost(function)
    assert _loops(moved, 1)[-1] == "ff"
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1), (0, 0)))
    expected = sum(padded[:, y : y + 6, x : x + 7] @ kernel[y, x] for y in range(3) for x in range(3))
    np.testing.assert_allclose(_run(moved, image, kernel, shape=(1, 6, 7, 10)), np.maximum(expected, 0), atol=1e-5)


def test_minima_keep_their_start():
    """What a block starts from comes before its first term, in whichever order the others are."""
    a = te.placeholder((4, 9, 6), name="a")
    k = te.reduce_axis((0, 9), name="k")
    function = te.create_prim_func([a, te.compute((4, 6), lambda i, j: te.max(a[i, k, j], axis=k), name="c")])
    moved = results_innermost(function)
    assert _loops(moved) == ["i", "k", "j"]
    array = np.random.default_rng(1).standard_normal((4, 9, 6)).astype("float32") - 5
    np.testing.assert_array_equal(_run(moved, array, shape=(4, 6)), array.max(axis=1))
