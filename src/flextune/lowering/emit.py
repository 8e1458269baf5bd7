"""From groups back to Relax: a `main` whose kernels are calls of small primitive functions.

TVM then legalises and fuses each primitive function into one PrimFunc (`LegalizeOps`, `FuseTIR`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import tvm
from tvm import relax

from flextune.lowering.kernel_operators import computing, described
from flextune.lowering.kernel_symbols import NO_SYMBOLS, OwnSymbols, missing_symbols, tensors_with
from flextune.lowering.merged_rows import MergedRows, over_rows
from flextune.lowering.operator_graph import Operator, OperatorGraph, is_constant, leaves
from flextune.lowering.operator_kinds import Kind
from flextune.tvm_types import RelaxExpr, RelaxType, RelaxVar

PRIMITIVE = "Primitive"


class Emitter:
    """Writes operators of a graph into a new function, as they are or grouped into primitive functions.

    `values` maps the variables of the graph's `main` to expressions of the new function. A variable of the new function
    that holds the value of an operator has its `value_name`.
    """

    def __init__(self, graph: OperatorGraph, builder: relax.BlockBuilder, values: dict[RelaxVar, RelaxExpr]) -> None:
        self.graph = graph
        self.builder = builder
        self.values = values

    def group(self, operators: Sequence[int], instead: Mapping[int, RelaxExpr] | None = None) -> RelaxExpr:
        """One kernel (of views alone: none); returns, and remembers, the value of its last operator.

        `instead` gives other expressions for some of the operators. They are over the variables of the graph's `main`
        and over such of the new function.
        """
        chosen = [self.graph.operators[index] for index in operators]
        if all(operator.kind is Kind.VIEW for operator in chosen):
            return [self.plain(index) for index in operators][-1]
        if instead:
            chosen = [replace(each, value=instead.get(each.index, each.value)) for each in chosen]
        outer, rows = self._with_sizes(chosen), self._rows(chosen)
        names = [operator.short_name for operator in chosen if operator.kind is not Kind.VIEW]
        function = computing(primitive(chosen, outer, rows), names)
        name = self.builder.add_func(function, f"fused_{described(names)}" if len(names) > 1 else described(names))
        call = tvm.ir.Call(name, [self._argument(leaf, rows) for leaf in outer])
        if rows is not None:
            call = relax.op.reshape(self.builder.emit(call), chosen[-1].variable.ty.shape)
        value = self.builder.emit(call, "" if instead else value_name(chosen[-1]))
        self.values[chosen[-1].variable] = value
        return value

    def _rows(self, operators: Sequence[Operator]) -> MergedRows | None:
        """The axes that the kernel of a group has as one; with numbers for sizes the rules choose among them."""
        return MergedRows.of(operators, outer_leaves(operators)) if self.graph.representative is not None else None

    def _argument(self, leaf: RelaxExpr, rows: MergedRows | None) -> RelaxExpr:
        """What a kernel reads, in the shape that it has there."""
        value = self.values.get(leaf, leaf)
        if rows is None or not rows.is_changed(leaf):
            return value
        return self.builder.emit(relax.op.reshape(value, relax.ShapeExpr(list(rows.shape(leaf)))))

    def _with_sizes(self, operators: Sequence[Operator]) -> tuple[RelaxExpr, ...]:
        """What a group reads from outside, and tensors that it is told sizes by."""
        outer = outer_leaves(operators)
        if self.graph.representative is None:
            return outer
        missing = missing_symbols(primitive(operators, outer, self._rows(operators)))
        return (*outer, *tensors_with(missing, self.graph, operators[0].index)) if missing else outer

    def plain(self, index: int) -> RelaxExpr:
        """One operator as it is: a view, a tuple, or something that cannot be part of a kernel."""
        operator = self.graph.operators[index]
        value = self.builder.emit(substituted(operator.value, self.values), value_name(operator))
        self.values[operator.variable] = value
        return value


def value_name(operator: Operator) -> str:
    """The name of an operator's value in modules made of a graph: passes rewrite variables and keep their names."""
    return f"v{operator.index}_"


def outer_leaves(operators: Sequence[Operator]) -> tuple[RelaxExpr, ...]:
    """What a group reads from outside, each once: variables, and constants that are worth a parameter."""
    inside = {operator.variable for operator in operators}
    found: list[RelaxExpr] = []
    for operator in operators:
        for leaf in leaves(operator.value):
            known = any(leaf.same_as(other) for other in found)
            if leaf not in inside and not known and not is_scalar(leaf):
                found.append(leaf)
    return tuple(found)


def is_scalar(leaf: RelaxExpr) -> bool:
    """Whether a leaf is a constant without dimensions: it becomes an immediate of the kernel."""
    return is_constant(leaf) and len(leaf.ty.shape) == 0


def functions_only(module: tvm.IRModule) -> tvm.IRModule:
    """The module without `main`."""
    return tvm.IRModule({name: function for name, function in module.functions_items() if name.name_hint != "main"})


def primitive(
    operators: Sequence[Operator], outer: Iterable[RelaxExpr], rows: MergedRows | None = None
) -> relax.Function:
    """The group as a function of what it reads from outside; of `rows`, some axes of all tensors are one axis."""
    parameters: list[RelaxVar] = []
    values: dict[RelaxVar, RelaxExpr] = {}
    outer = tuple(outer)
    kinds = [leaf.ty if rows is None else rows.type(leaf) for leaf in outer]
    symbols = OwnSymbols.of(kinds)
    written = _as_it_is if rows is None else over_rows
    for number, (leaf, kind) in enumerate(zip(outer, kinds, strict=True)):
        parameter = relax.Var(f"p{number}", symbols.type(kind))
        parameters.append(parameter)
        values[leaf] = parameter
    builder = relax.BlockBuilder()
    with builder.function("group", parameters, private=True):
        with builder.dataflow():
            for operator in operators[:-1]:
                values[operator.variable] = builder.emit(written(substituted(operator.value, values, symbols)))
            result = builder.emit_output(written(substituted(operators[-1].value, values, symbols)))
        builder.emit_func_output(result)
    return builder.get()["group"].with_attr(PRIMITIVE, True)


def _as_it_is(value: RelaxExpr) -> RelaxExpr:
    return value


def substituted(value: RelaxExpr, values: dict[RelaxVar, RelaxExpr], symbols: OwnSymbols = NO_SYMBOLS) -> RelaxExpr:
    """The expression with its leaves replaced; constants only where `values` has them. Sizes are those of `symbols`."""
    if isinstance(value, relax.ShapeExpr):
        return relax.ShapeExpr([symbols.size(size) for size in value.values]) if symbols.replaced else value
    if tvm.ir.is_prim_expr(value):
        return symbols.size(value) if symbols.replaced else value
    if isinstance(value, relax.Var) or is_constant(value):
        return values.get(value, value)
    if isinstance(value, tvm.ir.Call):
        arguments = [substituted(argument, values, symbols) for argument in value.args]
        kinds = [_with_symbols(kind, symbols) for kind in value.ty_args] if symbols.replaced else value.ty_args
        return tvm.ir.Call(value.op, arguments, value.attrs, kinds)
    if isinstance(value, tvm.ir.Tuple):
        return relax.Tuple([substituted(field, values, symbols) for field in value.fields])
    if isinstance(value, tvm.ir.TupleGetItem):
        return relax.TupleGetItem(substituted(value.tuple_value, values, symbols), value.index)
    return value


def _with_symbols(kind: RelaxType, symbols: OwnSymbols) -> RelaxType:
    """The type of a call's result with the sizes of `symbols`."""
    if isinstance(kind, relax.TupleType):
        return relax.TupleType([_with_symbols(field, symbols) for field in kind.fields])
    return symbols.type(kind) if isinstance(kind, relax.TensorType) else kind
