"""Casts of floats to bytes where bounds are known to hold: without what the importer does for numbers beyond them.

before:  y = astype(bitwise_and(astype(where(logical_not(isfinite(v)), 0, v), int32), 255), uint8)
after:   y = astype(v, uint8)             where v = minimum(255, maximum(0, x))
"""

from __future__ import annotations

import numpy as np
import tvm
from tvm import relax

from flextune.lowering.calls import is_constant
from flextune.lowering.mutation import bound_value, mutated
from flextune.lowering.operator_kinds import operator_name
from flextune.tvm_types import RelaxCall, RelaxExpr

_WRAPPED = ("bitwise_and", "astype", "where", "logical_not", "isfinite")
"""From the cast to the bounded value: what each operator's operand is bound to."""


def bounded_casts(module: tvm.IRModule) -> tvm.IRModule:
    """Cast floats that are bounded by a byte's range to bytes at once."""
    return relax.transform.DeadCodeElimination(["main"])(mutated(module, _Casts(module)))


@relax.expr_functor.mutator
class _Casts(relax.PyExprMutator):  # type: ignore[misc]
    def visit_call_(self, call: RelaxCall) -> RelaxExpr:
        call = self.visit_expr_post_order(call)
        dtype = str(getattr(call.ty, "dtype", ""))
        if operator_name(call) != "astype" or dtype not in ("uint8", "int8") or str(call.args[0].ty.dtype) != "int32":
            return call
        value = self._wrapped_value(call.args[0])
        if value is None or not self._is_within(value, np.iinfo(dtype)):
            return call
        whole = self.builder_.emit(relax.op.astype(value, "int32"))
        return relax.op.astype(whole, dtype)

    def _wrapped_value(self, argument: RelaxExpr) -> RelaxExpr | None:
        """The float that the importer's operators wrap around to a byte."""
        value = bound_value(self, argument)
        if operator_name(value) == "where":  # those of 128 and more are negative
            value = bound_value(self, value.args[2])
        for expected in _WRAPPED:
            if operator_name(value) != expected:
                return None
            argument = value.args[0]
            value = bound_value(self, argument)
        return argument if str(argument.ty.dtype) == "float32" else None

    def _is_within(self, argument: RelaxExpr, limits: np.iinfo[np.integer]) -> bool:
        """Whether a value is minimum(most, maximum(least, x)) within the limits."""
        upper = bound_value(self, argument)
        lower = bound_value(self, upper.args[1]) if operator_name(upper) == "minimum" else upper
        if operator_name(lower) != "maximum":
            return False
        least, most = (self._number(bound.args[0]) for bound in (lower, upper))
        return least is not None and most is not None and limits.min <= least <= most <= limits.max

    def _number(self, argument: RelaxExpr) -> float | None:
        value = bound_value(self, argument)
        return (
            float(value.value.numpy().reshape(-1)[0]) if is_constant(value) and value.value.numpy().size == 1 else None
        )
