from __future__ import annotations

import numpy as np
import tvm
from hypothesis import given
from hypothesis import strategies as st
from tvm import te

from flextune.lowering.precision.bfloat16 import from_bfloat16, rounded, to_bfloat16, widened


def bits(*patterns: int) -> np.ndarray:
    return np.array(patterns, np.uint32).view(np.float32)


SPECIAL = bits(
    0x00000000, 0x80000000, 0x3F800000, 0x3F808000, 0x3F818000, 0x3F808001, 0x7F800000, 0xFF800000,
    0x7FC00000, 0x7F800001, 0xFFFFFFFF, 0x7F7FFFFF, 0x00000001, 0x007FFFFF, 0x00800000, 0x7F7F8000,
)  # fmt: skip


def test_rounding_is_to_nearest_even() -> None:
    stored = to_bfloat16(bits(0x3F808000, 0x3F818000, 0x3F808001, 0x3F807FFF))
    assert stored.tolist() == [0x3F80, 0x3F82, 0x3F81, 0x3F80]


def test_infinities_and_nan_stay() -> None:
    stored = from_bfloat16(to_bfloat16(SPECIAL))
    assert np.array_equal(np.isnan(stored), np.isnan(SPECIAL))
    assert np.array_equal(stored[6:8], [np.inf, -np.inf])
    assert stored[11] == np.inf  # the largest float32 is beyond the largest bfloat16


def test_small_numbers_stay_small_numbers() -> None:
    assert to_bfloat16(bits(0x00010000, 0x80018000)).tolist() == [0x0001, 0x8002]


@given(st.lists(st.floats(width=32), min_size=1, max_size=50))
def test_rounding_twice_changes_nothing(values: list[float]) -> None:
    once = to_bfloat16(np.array(values, np.float32))
    assert np.array_equal(to_bfloat16(from_bfloat16(once)) & 0x7F80, once & 0x7F80)


def test_the_expression_rounds_as_the_array_function() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([SPECIAL, rng.integers(0, 2**32, 4096, dtype=np.uint32).view(np.float32)])
    x = te.placeholder(values.shape, "float32", name="x")
    y = te.compute(values.shape, lambda i: rounded(x[i]), name="y")
    kernel = tvm.compile(te.create_prim_func([x, y]), target=tvm.target.Target({"kind": "llvm"})).jit()
    out = tvm.runtime.tensor(np.zeros(values.shape, np.uint16))
    kernel["main"](tvm.runtime.tensor(values), out)
    got, want = out.numpy(), to_bfloat16(values)
    numbers = ~np.isnan(values)
    assert np.array_equal(got[numbers], want[numbers])
    assert np.isnan(from_bfloat16(got[~numbers])).all()


def test_elements_that_are_only_moved_are_not_rounded_again() -> None:
    buffer, index = tvm.tirx.decl_buffer((8,), "uint16", "x"), tvm.tirx.Var("i", "int32")
    element = widened(tvm.tirx.BufferLoad(buffer, [index]))
    moved = rounded(tvm.tirx.if_then_else(index > 0, element, tvm.tirx.const(1.5, "float32")))
    assert "Let" not in str(moved)
    assert "T.uint16(16320)" in str(moved)  # 0x3FC0, the upper half of 1.5
