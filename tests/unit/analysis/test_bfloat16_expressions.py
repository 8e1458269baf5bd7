from __future__ import annotations

from tvm import tirx

from flextune.analysis.bfloat16_expressions import narrowed, unrounded
from flextune.lowering.precision.bfloat16 import widened
from flextune.workload.rounding import STORAGE, bfloat16_of


def test_what_is_rounded_is_found_again() -> None:
    x = tirx.Var("x", "float32")
    assert unrounded(bfloat16_of(x + x)).a.same_as(x)
    assert str(bfloat16_of(x).ty.dtype) == STORAGE


def test_what_is_not_rounded_stays() -> None:
    x = tirx.Var("x", "float32")
    other = tirx.Let(x, tirx.const(1, "float32"), x * x)
    assert unrounded(x).same_as(x)
    assert unrounded(other).same_as(other)


def test_a_stored_element_is_found_in_its_float32_value() -> None:
    x, stored = tirx.Var("x", "float32"), tirx.Var("y", STORAGE)
    assert narrowed(widened(stored)).same_as(stored)
    assert narrowed(x) is None
    assert narrowed(widened(tirx.Var("z", "uint8"))) is None
