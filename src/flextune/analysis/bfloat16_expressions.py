"""bfloat16 kept as uint16 in TIR: expressions that round an element, or widen it, recognised."""

from __future__ import annotations

from tvm import tirx

from flextune.analysis.element import is_call
from flextune.tvm_types import Expression
from flextune.workload.rounding import ROUND, STORAGE


def unrounded(expression: Expression) -> Expression:
    """x where the expression is x rounded to bfloat16, else the expression itself."""
    return expression.args[0] if is_call(expression, ROUND.rpartition(".")[2]) else expression


def narrowed(expression: Expression) -> Expression | None:
    """x where the expression widens the stored element x to float32: reinterpret(float32, x << 16)."""
    if not is_call(expression, "reinterpret") or not isinstance(expression.args[0], tirx.LShift):
        return None
    cast = expression.args[0].a
    stored = cast.value if isinstance(cast, tirx.Cast) else None
    return stored if stored is not None and str(stored.ty.dtype) == STORAGE else None
