"""Kernels that only move blocks, recognised by their programs."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tvm import te, tirx, topi

from flextune.analysis.moves import Concatenation, Slice, Slices, described, move_of, moved_by


def _function(inputs: Sequence[te.Tensor], *outputs: te.Tensor) -> tirx.PrimFunc:
    return te.create_prim_func([*inputs, *outputs])


def _placeholder(*shape: int) -> te.Tensor:
    return te.placeholder(shape, "float32")


@given(st.lists(st.integers(1, 5), min_size=2, max_size=4), st.integers(0, 2), st.lists(st.integers(1, 4), min_size=2))
def test_a_concatenation_is_known_by_its_axis_and_inputs(sizes: list[int], axis: int, others: list[int]) -> None:
    inputs = [_placeholder(*others[:axis], size, *others[axis:]) for size in sizes]
    axis = min(axis, len(others))
    move = move_of(_function(inputs, topi.concatenate(inputs, axis)))
    assert move == Concatenation(axis, tuple(range(len(sizes))))


def test_a_tensor_can_be_concatenated_twice() -> None:
    x, y = _placeholder(2, 3), _placeholder(2, 5)
    move = move_of(_function([x, y], topi.concatenate([y, x, y], 1)))
    assert move == Concatenation(1, (1, 0, 1))


def test_a_slice_is_known_by_where_it_begins() -> None:
    x = _placeholder(4, 6, 8)
    assert move_of(_function([x], topi.strided_slice(x, [1, 0, 2], [3, 6, 7]))) == Slices(
        (Slice((1, 0, 2), (0, 1, 2)),)
    )


def test_a_slice_may_drop_an_axis_and_have_another_of_one_element() -> None:
    x = _placeholder(4, 6, 8)
    row = te.compute((4, 1, 8), lambda i, _, k: x[i, 5, k])
    assert move_of(_function([x], row)) == Slices((Slice((0, 5, 0), (0, None, 2)),))


def test_a_split_is_some_slices() -> None:
    x = _placeholder(4, 6)
    move = move_of(_function([x], *topi.split(x, [2, 3], 1)))
    assert move == Slices(tuple(Slice((0, begin), (0, 1)) for begin in (0, 2, 3)))


X, Y = _placeholder(4, 4), _placeholder(4, 4)
OTHERS = {
    "an element-wise function": _function([X], topi.nn.relu(X)),
    "a transposed tensor": _function([X], te.compute((4, 4), lambda i, j: X[j, i])),
    "a reversed axis": _function([X], te.compute((4, 4), lambda i, j: X[i, 3 - j])),
    "every second row": _function([X], te.compute((2, 4), lambda i, j: X[2 * i, j])),
    "a repeated row": _function([X], te.compute((4, 4), lambda i, j: X[0, j])),
    "a diagonal": _function([X], te.compute((4,), lambda i: X[i, i])),
    "a sum of concatenated tensors": _function([X, Y], topi.nn.relu(topi.concatenate([X, Y], 0))),
    "a choice by a triangle": _function(
        [X, Y], te.compute((4, 4), lambda i, j: te.if_then_else(i <= j, X[i, j], Y[i, j]))
    ),
    "pieces in another order": _function(
        [X, Y], te.compute((4, 4), lambda i, j: te.if_then_else(i >= 2, X[i - 2, j], Y[i, j]))
    ),
    "a sum of rows": _function([X], topi.sum(X, 1)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_functions_compute_something(name: str) -> None:
    assert move_of(OTHERS[name]) is None


def test_a_scheduled_function_keeps_what_it_moves() -> None:
    x, y = _placeholder(2, 3), _placeholder(2, 5)
    joined, sliced = topi.concatenate([x, y], 1), topi.strided_slice(x, [0, 1], [2, 2])
    for move in (move_of(_function([x, y], joined)), move_of(_function([x], sliced))):
        assert move is not None
        assert moved_by(described(OTHERS["a sum of rows"], move)) == move
    assert moved_by(described(OTHERS["a sum of rows"], None)) is None
