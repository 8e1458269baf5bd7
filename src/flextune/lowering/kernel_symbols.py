"""Symbols of a kernel: it knows the sizes of its tensors and nothing else, so each is a dimension of one of them.

A dimension that is an expression over symbols which no tensor of the group has by themselves becomes one of its own:

before:  group(p0: (batch * seq, 768)) = relu(p0)   -->   after:  group(p0: (size0, 768)) = relu(p0)

What is still missing then (a shape that is made of sizes) comes with a tensor that has it, which is not read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import tvm
import tvm_ffi
from tvm import relax, tirx

from flextune.analysis.symbols import is_symbolic
from flextune.errors import ModelError
from flextune.lowering.operator_graph import OperatorGraph
from flextune.tvm_types import Expression, RelaxFunction, RelaxType, RelaxVar, Variable


@dataclass(frozen=True, slots=True, eq=False)
class OwnSymbols:
    """Expressions over the model's symbols, and the symbol that each is in a kernel."""

    replaced: tuple[tuple[Expression, Variable], ...] = ()

    @classmethod
    def of(cls, kinds: Iterable[RelaxType]) -> OwnSymbols:
        """For a kernel of tensors of these types."""
        extents = [extent for kind in kinds for extent in _extents(kind) if is_symbolic(extent)]
        plain = [extent for extent in extents if isinstance(extent, tirx.Var)]
        replaced: list[tuple[Expression, Variable]] = []
        for extent in extents:
            known = all(any(each.same_as(one) for one in plain) for each in _symbols(extent))
            if not known and not any(tvm_ffi.structural_equal(extent, one) for one, _ in replaced):
                replaced.append((extent, tirx.Var(f"size{len(replaced)}", str(extent.ty))))
        return cls(tuple(replaced))

    def type(self, kind: RelaxType) -> RelaxType:
        """A tensor's type in the kernel."""
        if not self.replaced or not any(map(is_symbolic, _extents(kind))):
            return kind
        return relax.TensorType([self.size(extent) for extent in kind.shape], str(kind.dtype))

    def size(self, extent: Expression) -> Expression:
        """An extent in the kernel: one of its symbols, a multiple of one, or what it was."""
        for expression, own in self.replaced:
            if tvm_ffi.structural_equal(extent, expression):
                return own
            analyzer = tvm.sym.Analyzer()
            times = analyzer.simplify(extent // expression)
            if isinstance(times, tirx.IntImm) and analyzer.can_prove_equal(extent, expression * times):
                return own * times
        return extent


NO_SYMBOLS = OwnSymbols()
"""Of what has the symbols of the model."""


def missing_symbols(function: RelaxFunction) -> tuple[Variable, ...]:
    """The symbols that a function uses, and that are no dimension of its parameters."""
    return tuple(relax.analysis.free_symbolic_vars(function))


def tensors_with(symbols: Sequence[Variable], graph: OperatorGraph, before: int) -> tuple[RelaxVar, ...]:
    """Tensors that have these symbols as dimensions: inputs of the model, else what operators before this one give.

    ModelError where there is none.
    """
    found: list[RelaxVar] = []
    for symbol in symbols:
        candidates = (*graph.module["main"].params, *(each.variable for each in graph.operators[:before]))
        tensor = next((each for each in candidates if any(symbol.same_as(one) for one in _extents(each.ty))), None)
        if tensor is None:
            raise ModelError(f"the size {symbol.name} is no dimension of any tensor: no kernel could be told it")
        if not any(tensor.same_as(one) for one in found):
            found.append(tensor)
    return tuple(found)


def _extents(kind: RelaxType) -> Iterator[Expression]:
    shape = getattr(kind, "shape", None)
    yield from () if shape is None else shape


def _symbols(extent: Expression) -> list[Variable]:
    found: list[Variable] = []
    tvm_ffi.structural_walk(extent, (tirx.Var, found.append))
    return found
