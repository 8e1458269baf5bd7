"""Comparisons that bound a value, as Relax operators that a change of layout can follow."""

from __future__ import annotations

import tvm
from tvm import relax

from flextune.lowering.mutation import bound_value, mutated
from flextune.lowering.operator_kinds import operator_name
from flextune.tvm_types import RelaxCall, RelaxExpr


def bounds_as_extremes(module: tvm.IRModule) -> tvm.IRModule:
    """Write selections between a value and a constant bound as maxima and minima.

    before: where(greater(0, x), 0, x)   -->   after: maximum(0, x)
    NaN stays NaN in both forms (see `flextune.lowering.legalization`).
    """
    return relax.transform.DeadCodeElimination(["main"])(mutated(module, _Bounds(module)))


@relax.expr_functor.mutator
class _Bounds(relax.PyExprMutator):  # type: ignore[misc]
    def visit_call_(self, call: RelaxCall) -> RelaxExpr:
        call = self.visit_expr_post_order(call)
        if operator_name(call) != "where":
            return call
        condition, bound = (bound_value(self, argument) for argument in call.args[:2])
        number = _number(bound)
        if number is None or operator_name(condition) not in BOUNDS or not str(call.ty.dtype).startswith("float"):
            return call
        left, right = condition.args
        if _number(bound_value(self, left)) != number or not right.same_as(call.args[2]):
            return call
        if list(map(str, call.args[2].ty.shape)) != list(map(str, call.ty.shape)):
            return call
        extreme = relax.op.maximum if operator_name(condition) == "greater" else relax.op.minimum
        return extreme(relax.const(number, str(call.ty.dtype)), call.args[2])


BOUNDS = frozenset({"greater", "less"})


def _number(value: RelaxExpr) -> float | None:
    """The value of a constant with one element that is a number."""
    if not isinstance(value, tvm.ir.GenericConst):
        return None
    array = value.value.numpy()
    return float(array.reshape(-1)[0]) if array.size == 1 and array.dtype.kind == "f" and array == array else None
