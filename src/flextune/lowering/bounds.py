"""Comparisons that bound a value, as Relax operators that a change of layout can follow."""

from __future__ import annotations

import tvm
from tvm import relax

from flextune.lowering.mutation import mutated
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
        if _name(call) != "relax.where":
            return call
        condition, bound = (self._value(argument) for argument in call.args[:2])
        number = _number(bound)
        if number is None or _name(condition) not in BOUNDS or not str(call.ty.dtype).startswith("float"):
            return call
        left, right = condition.args
        if _number(self._value(left)) != number or not right.same_as(call.args[2]):
            return call
        if list(map(str, call.args[2].ty.shape)) != list(map(str, call.ty.shape)):
            return call
        extreme = relax.op.maximum if _name(condition) == "relax.greater" else relax.op.minimum
        return extreme(relax.const(number, str(call.ty.dtype)), call.args[2])

    def _value(self, argument: RelaxExpr) -> RelaxExpr:
        """What a variable is bound to."""
        found = self.lookup_binding(argument) if isinstance(argument, relax.Var) else argument
        return argument if found is None else found


BOUNDS = frozenset({"relax.greater", "relax.less"})


def _name(value: RelaxExpr) -> str:
    return str(getattr(getattr(value, "op", None), "name", ""))


def _number(value: RelaxExpr) -> float | None:
    """The value of a constant with one element that is a number."""
    if not isinstance(value, tvm.ir.GenericConst):
        return None
    array = value.value.numpy()
    return float(array.reshape(-1)[0]) if array.size == 1 and array.dtype.kind == "f" and array == array else None
