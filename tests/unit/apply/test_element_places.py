"""Layouts against NumPy's strides."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flextune.apply.element_places import Layout

SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=4)


def _layout(array: np.ndarray, base: np.ndarray) -> Layout:
    """Where a view's elements are in its base."""
    offset = (array.__array_interface__["data"][0] - base.__array_interface__["data"][0]) // 4
    return Layout.of(array.shape, offset, [stride // 4 for stride in array.strides])


def _elements(layout: Layout, base: np.ndarray) -> np.ndarray:
    strides = [4 * stride for stride in layout.strides]
    return np.lib.stride_tricks.as_strided(base.reshape(-1)[layout.offset :], layout.shape, strides)


@given(SHAPES, st.data())
def test_a_part_is_a_block(shape: list[int], data: st.DataObject) -> None:
    base = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    begins = [data.draw(st.integers(0, extent - 1)) for extent in shape]
    sizes = [data.draw(st.integers(1, extent - begin)) for extent, begin in zip(shape, begins, strict=True)]
    block = base[tuple(slice(begin, begin + size) for begin, size in zip(begins, sizes, strict=True))]
    part = Layout.dense(shape).part(begins, range(len(shape)), sizes)
    assert part == _layout(block, base)
    np.testing.assert_array_equal(_elements(part, base), block)
    assert part.is_dense == block.flags.c_contiguous


@given(SHAPES, st.integers(1, 3), st.data())
def test_reshaping_keeps_the_order_or_is_refused(shape: list[int], gap: int, data: st.DataObject) -> None:
    """NumPy gives a view exactly where strides can express the reshaped tensor."""
    base = np.arange(np.prod(shape) * gap, dtype=np.float32).reshape([*shape[:-1], shape[-1] * gap])
    block = base[..., : shape[-1]]
    wanted = data.draw(st.permutations(shape)) if data.draw(st.booleans()) else _merged(shape, data)
    layout = _layout(block, base).reshaped(wanted)
    reshaped = block.reshape(wanted)
    assert (layout is not None) == np.shares_memory(reshaped, base)
    if layout is not None:
        np.testing.assert_array_equal(_elements(layout, base), reshaped)


def _merged(shape: list[int], data: st.DataObject) -> list[int]:
    at = data.draw(st.integers(0, len(shape) - 1))
    return [*shape[:at], int(np.prod(shape[at : at + 2])), 1, *shape[at + 2 :]]


def test_an_axis_can_be_dropped_or_added() -> None:
    row = Layout.dense((2, 3, 4)).part((1, 2, 0), (None, 2), (1, 4))
    assert row == Layout((1, 4), 20, (4, 1))


def test_runs_end_at_the_first_gap() -> None:
    assert Layout.dense((2, 3, 4)).run == 24
    assert Layout((2, 3, 4), 0, (30, 10, 1)).run == 4
    assert Layout((2, 3, 4), 0, (40, 4, 1)).run == 12
    assert Layout((2, 3), 0, (30, 10)).run == 1
    assert Layout.dense((0, 3)).is_dense
