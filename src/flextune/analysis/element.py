"""The expression of an element of a tensor over the element's place, to be written down elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import tvm
import tvm_ffi
from tvm import tirx
from tvm.ir import Call, TensorLoad

from flextune.tvm_types import Buffer, BufferLoad, Expression, Variable


def is_call(expression: Expression, name: str) -> bool:
    """Whether an expression is the call of an operator, named without the dialect it belongs to."""
    operator = str(getattr(getattr(expression, "op", None), "name", ""))
    return isinstance(expression, Call) and operator.rpartition(".")[2] == name


@dataclass(frozen=True, slots=True, eq=False)
class Element:
    """An expression over some variables, and over one value that is put into it (`hole`, loads of that buffer)."""

    variables: tuple[Variable, ...]
    expression: Expression
    hole: Buffer = None

    def at(self, indices: Sequence[Expression], value: Expression = None) -> Expression:
        """The expression at these values of its variables."""
        given = dict(zip(self.variables, indices, strict=True))

        def load(node: BufferLoad) -> Expression:
            return value if self.hole is not None and node.source.same_as(self.hole) else node

        filled = tvm_ffi.structural_map(self.expression, (tirx.Var, lambda variable: given.get(variable, variable)))
        return tvm_ffi.structural_map(filled, (TensorLoad, load)) if self.hole is not None else filled

    def reads(self) -> tuple[Buffer, ...]:
        """The buffers that it reads, each once."""
        found: list[Variable] = []
        tvm_ffi.structural_walk(self.expression, (TensorLoad, lambda load: found.append(load.source)))
        return tuple(dict.fromkeys(buffer for buffer in found if not buffer.same_as(self.hole)))

    def contiguous_in(self, place: int) -> bool:
        """Whether neighbours along a variable are neighbours in all that is read, or the same element."""
        loads: list[BufferLoad] = []
        tvm_ffi.structural_walk(self.expression, (TensorLoad, loads.append))
        others = [load for load in loads if self.hole is None or not load.source.same_as(self.hole)]
        return all(_steps_by_one(load, self.variables[place]) for load in others)


def substituted(tree: Expression, given: Mapping[Variable, Expression]) -> Expression:
    """The expression with these values of its variables."""
    return tvm_ffi.structural_map(tree, (tirx.Var, lambda variable: given.get(variable, variable)))


def _steps_by_one(load: BufferLoad, variable: Variable) -> bool:
    stride = 1
    for index, extent in zip(reversed(load.indices), reversed(load.source.ty.shape), strict=True):
        parts = tvm.sym.detect_linear_equation(index, [variable])
        if len(parts) != 2 or not isinstance(parts[0], tirx.IntImm):
            return False
        if int(parts[0]) * stride not in (0, 1):
            return False
        stride *= int(extent)
    return True
