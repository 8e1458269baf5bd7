"""Sizes as TVM's expressions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import tvm_ffi
from tvm import tirx
from tvm.sym import Analyzer

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


class EqualSizes:
    """Sizes that are the same because of what divides dimensions, by the expression that came first.

    h is a multiple of 16: (h - 1)//8 + 1, then 2*(h//16)   -->   (h - 1)//8 + 1, (h - 1)//8 + 1
    """

    def __init__(self, variables: SizeVariables, multiples: Mapping[str, int]) -> None:
        self._variables = variables
        self._multiples = multiples
        self._analyzer = Analyzer()
        self._parts = {name: tirx.Var(f"{name}_part", "int64") for name in multiples}
        self._first = {self._key(variable): variable for variable in variables.known.values()}

    def first(self, size: Expression) -> Expression:
        """The first of the expressions that are this size; itself, where it is one that was not asked for before."""
        if isinstance(size, tirx.IntImm | tirx.Var):
            return size
        first = self._first.setdefault(self._key(size), size)
        return size if tvm_ffi.structural_equal(first, size) else first

    def _key(self, size: Expression) -> str:
        """What equal sizes have in common."""
        parts = {
            self._variables.known[name]: part * self._multiples[name]
            for name, part in self._parts.items()
            if name in self._variables.known
        }
        divided = tvm_ffi.structural_map(size, (tirx.Var, lambda each: parts.get(each, each)))
        return str(self._analyzer.canonical_simplify(divided))
