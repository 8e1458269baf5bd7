"""What of a kernel's parameters is carried into its result, and of what rows are summed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import te, tirx, topi

from flextune.analysis.blocks import read_program
from flextune.analysis.flow import Flow, read_flow

ROWS, WIDTH = 4, 8


def flow_of(inputs: Sequence[te.Tensor], output: te.Tensor) -> Flow:
    program = read_program(te.create_prim_func([*inputs, output]))
    assert program is not None
    return read_flow(program)


def placeholder(*shape: int) -> te.Tensor:
    return te.placeholder(shape, "float32")


def rms_norm(x: te.Tensor, scale: te.Tensor) -> te.Tensor:
    rows, width = (int(size) for size in x.shape)
    k = te.reduce_axis((0, width))
    squares = te.compute((rows,), lambda i: te.sum(x[i, k] * x[i, k], axis=k))
    return te.compute(x.shape, lambda i, j: x[i, j] * tirx.rsqrt(squares[i] / width) * scale[j])


@given(addends=st.integers(1, 4), rows=st.integers(1, 5), width=st.integers(2, 9))
@settings(max_examples=20, deadline=None)
def test_every_addend_of_what_a_norm_reads_is_summed(addends: int, rows: int, width: int) -> None:
    inputs = [placeholder(rows, width) for _ in range(addends)]
    scale = placeholder(width)
    total = inputs[0]
    for each in inputs[1:]:
        total = topi.add(total, each)
    found = flow_of([*inputs, scale], rms_norm(total, scale))
    assert found.carried == set(range(addends + 1))
    assert found.summed == set(range(addends))


def test_factors_of_a_product_are_not_carried() -> None:
    a, b, residual = placeholder(ROWS, 6), placeholder(6, WIDTH), placeholder(ROWS, WIDTH)
    assert flow_of([a, b, residual], topi.add(topi.matmul(a, b), residual)) == Flow(frozenset({2}), frozenset())


def test_a_norm_behind_a_product_sums_what_is_added_to_it() -> None:
    a, b, residual, scale = placeholder(ROWS, 6), placeholder(6, WIDTH), placeholder(ROWS, WIDTH), placeholder(WIDTH)
    found = flow_of([a, b, residual, scale], rms_norm(topi.add(topi.matmul(a, b), residual), scale))
    assert found == Flow(frozenset({2, 3}), frozenset({2}))


def test_moved_elements_are_carried() -> None:
    x, y = placeholder(ROWS, WIDTH), placeholder(ROWS, WIDTH)
    assert flow_of([x, y], topi.transpose(topi.concatenate([x, y], 0))) == Flow(frozenset({0, 1}), frozenset())


def test_a_mean_in_a_kernel_of_its_own_sums_rows() -> None:
    x = placeholder(ROWS, WIDTH)
    assert flow_of([x], topi.sum(x, axis=-1, keepdims=True)) == Flow(frozenset(), frozenset({0}))


X = placeholder(1, 6, 6, WIDTH)
WINDOW = te.reduce_axis((0, 3))
PADDED = topi.nn.pad(X, [0, 0, 0, 1], [0, 0, 0, 1])
SQUARES = te.compute(
    X.shape, lambda n, h, w, c: te.sum(PADDED[n, h, w, c + WINDOW] * PADDED[n, h, w, c + WINDOW], axis=WINDOW)
)
OTHERS = {
    "softmax": topi.nn.softmax(X),
    "local response": te.compute(X.shape, lambda *i: X(*i) * tirx.rsqrt(SQUARES(*i) + 1)),
    "a pooling": topi.nn.pool2d(X, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), "avg", layout="NHWC"),
    "the sum of an image": topi.sum(X, axis=(1, 2), keepdims=True),
    "an activation": topi.nn.relu(X),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_kernels_sum_no_rows(name: str) -> None:
    assert not flow_of([X], OTHERS[name]).summed
