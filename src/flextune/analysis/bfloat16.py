"""bfloat16 kept as uint16 in TIR: how an element is rounded and widened, and such expressions recognised.

A bfloat16 number is the upper half of a float32. Rounding is to nearest even, as the hardware does it; infinities stay,
NaN stays a (quiet) NaN, and what is beyond the largest number becomes infinite.
"""

from __future__ import annotations

from typing import Any

import tvm_ffi
from tvm import tirx
from tvm.ir import Call

Expression = Any

STORAGE = "uint16"

QUIET = 0x40
"""The bit that makes a NaN quiet."""


def rounding(value: Expression) -> Expression:
    """A float32 expression as a stored element."""
    x, bits = tirx.Var("x", "float32"), tirx.Var("bits", "uint32")
    one, half, shift = (tirx.const(number, "uint32") for number in (1, 0x7FFF, 16))
    upper = tirx.shift_right(bits, shift)
    nearest = tirx.shift_right(bits + (half + tirx.bitwise_and(upper, one)), shift)
    quiet = tirx.bitwise_or(upper, tirx.const(QUIET, "uint32"))
    chosen = tirx.Select(tirx.isnan(x), quiet, nearest).astype(STORAGE)
    return tirx.Let(x, value, tirx.Let(bits, tirx.reinterpret("uint32", x), chosen))


def unrounded(expression: Expression) -> Expression:
    """x where the expression is `rounding(x)`, else the expression itself."""
    if not isinstance(expression, tirx.Let):
        return expression
    value = expression.value
    return value if tvm_ffi.structural_equal(expression, rounding(value)) else expression


def narrowed(expression: Expression) -> Expression | None:
    """x where the expression widens the stored element x to float32: reinterpret(float32, x << 16)."""
    if not _is_call(expression, "reinterpret") or not isinstance(expression.args[0], tirx.LShift):
        return None
    cast = expression.args[0].a
    stored = cast.value if isinstance(cast, tirx.Cast) else None
    return stored if stored is not None and str(stored.ty.dtype) == STORAGE else None


def _is_call(value: Expression, name: str) -> bool:
    return isinstance(value, Call) and str(getattr(value.op, "name", "")).rpartition(".")[2] == name
