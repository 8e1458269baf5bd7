"""Sizes as TVM's expressions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tvm import tirx

from flextune.tvm_types import Expression, Variable
from flextune.workload.dim_code import Operation
from flextune.workload.dim_expr import DimExpr

_BINARY = {
    Operation.ADD: lambda a, b: a + b,
    Operation.MULTIPLY: lambda a, b: a * b,
    Operation.FLOOR_DIVIDE: tirx.floordiv,
    Operation.MINIMUM: tirx.min,
    Operation.MAXIMUM: tirx.max,
}


@dataclass
class SizeVariables:
    """TVM's variable for each dimension, made when it is first asked for."""

    known: dict[str, Variable] = field(default_factory=dict)

    def expression(self, size: DimExpr) -> Expression:
        """A size over these variables.

        (height + 1)//2   -->   T.floordiv(height + 1, 2)
        """
        stack: list[Expression] = []
        for step in size.instructions():
            if step.operation is Operation.PUSH:
                stack.append(tirx.IntImm("int64", step.number))
            elif step.operation is Operation.LOAD:
                stack.append(self._variable(step.name))
            else:
                right, left = stack.pop(), stack.pop()
                stack.append(_BINARY[step.operation](left, right))
        return stack[0]

    def shape(self, sizes: Iterable[DimExpr]) -> list[Expression]:
        return [self.expression(size) for size in sizes]

    def _variable(self, name: str) -> Variable:
        if name not in self.known:
            self.known[name] = tirx.Var(name, "int64")
        return self.known[name]
