"""Importing graphs with loops, branches and kernels of our own: TVM's importer sees the rest, calls are put in between.

before: y = Region(MatMul(x, w)); z = Relu(y)
cut:    main(x, y) = (Relu(y), MatMul(x, w))
after:  main(x): m = matmul(x, w); y = call_dps_packed("loop0", (m,)); z = relu(y)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import onnx
import tvm
from tvm import relax

from flextune.importing.kernels import is_kernel
from flextune.importing.onnx_graph import OnnxGraph
from flextune.importing.regions import DOMAIN, Region, region_name
from flextune.lowering.calls import results_of
from flextune.lowering.emit import functions_only, substituted
from flextune.lowering.operator_graph import variables_read
from flextune.lowering.own_kernels import kernel_call
from flextune.lowering.regions import BODY, ELSE, THEN
from flextune.tvm_types import RelaxExpr, RelaxVar

Importer = Callable[[OnnxGraph], tvm.IRModule]


def import_graph(graph: OnnxGraph, importer: Importer, prefix: str) -> tvm.IRModule:
    """The graph as Relax `main`; loops and branches are calls by name, with `prefix` before those of the regions."""
    nodes = [node for node in graph.nodes if node.domain == DOMAIN]
    if not nodes:
        return importer(graph)
    return _Stitcher(graph, nodes, importer, prefix).stitched()


def bodies(graph: OnnxGraph, prefix: str) -> Iterator[tuple[Region, str, OnnxGraph]]:
    """Every body of the graph's regions with the name of its function in Relax."""
    for node in graph.nodes:
        if name := region_name(node):
            region = graph.regions[name]
            parts = (THEN, ELSE) if region.form is None else (BODY,)
            for part, body in zip(parts, region.bodies, strict=True):
                yield region, f"{prefix}{name}_{part}", body


class _Stitcher:
    def __init__(self, graph: OnnxGraph, nodes: list[onnx.NodeProto], importer: Importer, prefix: str) -> None:
        self._graph, self._nodes, self._prefix = graph, nodes, prefix
        self._results = {name: node for node in nodes for name in node.output if name}
        plain = [node for node in graph.nodes if node.domain != DOMAIN]
        computed = {name for node in plain for name in node.output}
        inputs = [value.name for value in graph.inputs]
        asked = dict.fromkeys(name for node in nodes for name in node.input)
        self._given = [name for name in asked if name in computed or name in inputs]
        cut = replace(
            graph,
            nodes=plain,
            inputs=[*graph.inputs, *(graph.known[name] for name in self._results)],
            outputs=[*graph.outputs, *map(_value, self._given)],
            regions={},
            known={},
        )
        self._module = importer(cut)
        main = self._module["main"]
        # constants that were parameters are bound by now
        self._parameters = dict(zip([*inputs, *self._results], main.params, strict=True))
        self._builder = relax.BlockBuilder(functions_only(self._module))
        self._values: dict[RelaxVar, RelaxExpr] = {self._parameters[name]: self._parameters[name] for name in inputs}
        self._bound = {binding.var: binding.value for block in main.body.blocks for binding in block.bindings}
        returned = results_of(main.body)
        self._outputs = returned[: len(graph.outputs)]
        self._arguments = dict(zip(self._given, returned[len(graph.outputs) :], strict=True))

    def stitched(self) -> tvm.IRModule:
        main, builder = self._module["main"], self._builder
        parameters = [self._parameters[value.name] for value in self._graph.inputs]
        with builder.function("main", parameters, attrs={"num_input": len(parameters)}):
            with builder.dataflow():
                for variable in self._bound:
                    if not variable.same_as(main.body.body):
                        self._emit(variable)
                outputs = [self._new(output) for output in self._outputs]
                result = builder.emit_output(outputs[0] if len(outputs) == 1 else relax.Tuple(outputs))
            builder.emit_func_output(result)
        return builder.get()

    def _emit(self, variable: RelaxVar) -> None:
        """Emit what gives a variable's value, after all that it reads.

        The importer binds some values only where they are used.
        """
        if variable in self._values:
            return
        if variable in self._bound:
            self._values[variable] = self._builder.emit(self._new(self._bound[variable]))
        else:
            self._call(next(name for name, each in self._parameters.items() if each.same_as(variable)))

    def _new(self, value: RelaxExpr) -> RelaxExpr:
        """The expression in the new function."""
        for variable in variables_read(value):
            self._emit(variable)
        return substituted(value, self._values)

    def _call(self, result: str) -> None:
        """Emit the call of the region, or of our own kernel, that gives a value."""
        node = self._results[result]
        given = [self._argument(name) for name in node.input]
        if is_kernel(node):
            variable = self._parameters[result]
            self._values[variable] = self._builder.emit(kernel_call(self._builder, node, given, variable.ty))
            return
        arguments = relax.Tuple(given)
        outputs = [self._parameters[name] for name in node.output]
        kinds: Any = [variable.ty for variable in outputs]
        name = f"{self._prefix}{region_name(node)}"
        called = self._builder.emit(
            relax.call_dps_packed(name, arguments, out_ty=kinds if len(kinds) > 1 else kinds[0])
        )
        for place, variable in enumerate(outputs):
            is_one = len(outputs) == 1
            self._values[variable] = called if is_one else self._builder.emit(relax.TupleGetItem(called, place))

    def _argument(self, name: str) -> RelaxExpr:
        if name in self._results:
            return self._new(self._parameters[name])
        if name in self._arguments:
            return self._new(self._arguments[name])
        return relax.const(self._graph.constants[name], str(self._graph.constants[name].dtype))


def _value(name: str) -> onnx.ValueInfoProto:
    return onnx.helper.make_value_info(name, onnx.TypeProto())
