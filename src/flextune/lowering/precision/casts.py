"""Casts to bfloat16 and from it, and the inputs and outputs that are bfloat16: kept as uint16, rounded by ourselves.

TVM computes bfloat16 in float32 and forgets to round in between: a cast there and back would be no cast at all.

before:  y = astype(x, bfloat16): bfloat16
after:   y = call_tir(round, x): uint16
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tvm
from tvm import relax, te

from flextune.lowering.mutation import mutated
from flextune.lowering.precision.bfloat16 import rounded, widened
from flextune.tvm_types import Expression, RelaxCall, RelaxExpr, RelaxVar
from flextune.workload.rounding import STORAGE

_BFLOAT16 = "bfloat16"
_ELEMENTWISE = 0
"""TVM's `op_pattern` of what reads each element where it writes one."""


def store_bfloat16(module: tvm.IRModule) -> tvm.IRModule:
    """Keep values in bfloat16 as uint16, and round to them."""
    return mutated(module, _Storing(module)) if f'"{_BFLOAT16}"' in module.script() else module


@relax.expr_functor.mutator
class _Storing(relax.PyExprMutator):  # type: ignore[misc]
    def __init__(self, module: tvm.IRModule) -> None:
        super().__init__(module)
        self._kernels: dict[tuple[str, str], Any] = {}

    def visit_var_def_(self, variable: RelaxVar) -> RelaxVar:
        if _dtype(variable) != _BFLOAT16:
            return variable
        return relax.Var(variable.name, relax.TensorType(variable.ty.shape, STORAGE))

    def visit_call_(self, call: RelaxCall) -> RelaxExpr:
        source, result = _dtype(call.args[0]) if call.args else "", _dtype(call)
        call = self.visit_expr_post_order(call)
        if str(getattr(call.op, "name", "")) != "relax.astype" or _BFLOAT16 not in (source, result):
            return call
        value = call.args[0]
        if source == result:
            return value
        if source == _BFLOAT16:
            wide = self._called("widen", widened, value, "float32")
            return wide if result == "float32" else relax.op.astype(self.builder_.emit(wide), result)
        if source != "float32":
            value = self.builder_.emit(relax.op.astype(value, "float32"))
        return self._called("round", rounded, value, STORAGE)

    def _called(self, name: str, element: Callable[[Expression], Expression], value: RelaxExpr, dtype: str) -> Any:
        shape = tuple(value.ty.shape)
        key = (name, str(shape))
        if key not in self._kernels:
            tensor = te.placeholder(shape, str(value.ty.dtype), name="x")
            result = te.compute(shape, lambda *index: element(tensor(*index)), name=name)
            function = te.create_prim_func([tensor, result]).with_attr("op_pattern", _ELEMENTWISE)
            self._kernels[key] = self.builder_.add_func(function.without_attr("global_symbol"), name)
        return relax.call_tir(self._kernels[key], [value], out_ty=relax.TensorType(shape, dtype))


def _dtype(expression: RelaxExpr) -> str:
    return str(getattr(expression.ty, "dtype", ""))
