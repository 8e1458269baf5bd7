"""A model of NHWC operators with its groups in other layouts, and transposes where they are needed."""

from __future__ import annotations

from dataclasses import dataclass

import tvm
from tvm import relax

from flextune.lowering.emit import functions_only, substituted
from flextune.lowering.layout import NCHW, NHWC, Layout
from flextune.lowering.operator_graph import Operator, OperatorGraph, tensor_type, variables_read
from flextune.plan.fusion.plan import FusionPlan
from flextune.plan.layouts.image_operators import CONVOLUTION, in_layout, move_of, moved
from flextune.plan.layouts.layout_assignment import LayoutAssignment, LayoutPair
from flextune.tvm_types import IRModule, RelaxExpr, RelaxVar


@dataclass(frozen=True, slots=True, eq=False)
class LaidOut:
    """A model in other layouts.

    `results` has for each group of the plan that it was made from the operator that gives the group's result; None
    where nothing is left of a group.
    """

    module: IRModule
    results: tuple[int | None, ...]


def with_layouts(plan: FusionPlan, assignment: LayoutAssignment) -> LaidOut:
    """The plan's model with the groups in the layouts of the assignment.

    Its inputs and outputs stay what they are. A tensor is brought into another layout once, where it is first read.
    """
    writer = _Writer(plan, assignment)
    module = writer.written()
    graph = OperatorGraph.of(module, plan.graph.estimator)
    assert graph is not None
    index = {operator.variable: operator.index for operator in graph.operators}
    return LaidOut(module, tuple(index.get(writer.results[group.sink]) for group in plan.groups))


class _Writer:
    """Writes `main` again; `_held` has the expressions of a tensor by its variable and layout."""

    def __init__(self, plan: FusionPlan, assignment: LayoutAssignment) -> None:
        self._graph: OperatorGraph = plan.graph
        self._pairs = {index: pair for place, pair in assignment.pairs for index in plan.groups[place].operators}
        self._builder = relax.BlockBuilder(functions_only(plan.graph.module))
        self._held: dict[RelaxVar, dict[Layout, RelaxExpr]] = {}
        self.results: dict[int, RelaxExpr] = {}

    def written(self) -> tvm.IRModule:
        main = self._graph.module["main"]
        self._held = {parameter: {NHWC: parameter} for parameter in main.params}
        with self._builder.function("main", list(main.params), attrs=dict(main.attrs or {})):
            with self._builder.dataflow():
                for operator in self._graph.operators:
                    self._held[operator.variable] = written = self._written(operator)
                    self.results[operator.index] = next(iter(written.values()))
                result = self._builder.emit_output(self._plain(main.body.body))
            self._builder.emit_func_output(result)
        return self._builder.get()

    def _written(self, operator: Operator) -> dict[Layout, RelaxExpr]:
        """The operator's result, by the layout it is in."""
        pair = self._pairs.get(operator.index)
        if pair is None:
            return {NHWC: self._builder.emit(self._plain(operator.value))}
        if (forward := move_of(operator)) is not None:
            return self._transposed(operator, pair, forward)
        value = in_layout(operator, pair.data, pair.result, lambda leaf: self._read(leaf, operator, pair))
        return {pair.result: self._builder.emit(value)}

    def _transposed(self, operator: Operator, pair: LayoutPair, forward: bool) -> dict[Layout, RelaxExpr]:
        """A transpose between NCHW and NHWC whose NHWC side is in another layout."""
        (source,) = variables_read(operator.value)
        if forward:
            image = self._in(source, NHWC)
            return {pair.result: moved(image, NCHW, pair.result, operator.shape, self._builder.emit)}
        image = self._in(source, pair.data)
        return {NHWC: moved(image, pair.data, NCHW, tensor_type(source)[0], self._builder.emit)}

    def _read(self, leaf: RelaxExpr, operator: Operator, pair: LayoutPair) -> RelaxExpr:
        return self._in(leaf, pair.data if operator.name == CONVOLUTION else pair.result)

    def _in(self, variable: RelaxVar, layout: Layout) -> RelaxExpr:
        """A tensor in a layout, brought into it if it is not."""
        held = self._held[variable]
        if layout not in held:
            written, expression = next(iter(held.items()))
            held[layout] = moved(expression, written, layout, tensor_type(variable)[0], self._builder.emit)
        return held[layout]

    def _plain(self, value: RelaxExpr) -> RelaxExpr:
        """An expression that reads everything in NHWC."""
        return substituted(value, {variable: self._in(variable, NHWC) for variable in variables_read(value)})
