"""Rounding to bfloat16 as one operator of TIR, which a platform may lower to one instruction.

A bfloat16 number is the upper half of a float32, kept as uint16. Rounding is to nearest even; infinities stay, NaN
stays a (quiet) NaN, and what is beyond the largest number becomes infinite. An instruction may take float32 numbers
below the smallest normal one for zero.
"""

from __future__ import annotations

from typing import Any

import tvm
from tvm import tirx

from flextune.once import once
from flextune.workload.element_type import BFLOAT16, QUIET

STORAGE = BFLOAT16.storage
ROUND = "tirx.flextune_bfloat16"

_PURE = 1
"""TVM's `CallEffectKind` of a function of its arguments alone."""

Expression = Any


def bfloat16_of(value: Expression) -> Expression:
    """A float32 expression, or a vector of them, as stored elements."""
    register_rounding()
    number = tirx.convert(value)
    return tirx.op.call_intrin(STORAGE + _lanes(number), ROUND, number)


@once
def register_rounding() -> None:
    """Makes the operator known to TVM, which programs that hold it cannot be read without."""
    tvm.ir.register_op_attr(ROUND, "TCallEffectKind", _PURE)
    tvm.ir.register_op_attr(ROUND, "TVectorizable", True)
    tirx.op.register_intrin_lowering(ROUND, "default", f=by_bits)


def by_bits(call: Expression) -> Expression:
    """The operator by arithmetic on the bits, for every processor and any number of lanes."""
    value = call.args[0]
    lanes = _lanes(value)
    whole = f"uint32{lanes}"
    x, bits = tirx.Var("x", f"float32{lanes}"), tirx.Var("bits", whole)
    one, half, shift, quiet = (tirx.const(number, whole) for number in (1, 0x7FFF, 16, QUIET))
    upper = tirx.shift_right(bits, shift)
    nearest = tirx.shift_right(bits + (half + tirx.bitwise_and(upper, one)), shift)
    chosen = tirx.Select(tirx.isnan(x), tirx.bitwise_or(upper, quiet), nearest).astype(f"{STORAGE}{lanes}")
    return tirx.Let(x, value, tirx.Let(bits, tirx.reinterpret(whole, x), chosen))


def _lanes(value: Expression) -> str:
    """`x16` for a vector of 16, nothing for a single number."""
    return str(value.ty).removeprefix("float32")
