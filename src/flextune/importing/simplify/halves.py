"""Models in 16-bit floats (float16, bfloat16) in the form of float32 models that read and write 16 bits.

Sums of 16-bit floats need more digits than these have, and so do means, exponentials and whatever comes in between. So
every operator computes in float32, and values are rounded where it can be seen: in the model's outputs, in what a
`Cast` rounds, and in front of operators that are not continuous (comparisons, `Floor`, quantisation), for which a
digit more is another result.

before: y: float16 = Softmax(MatMul(x: float16, w: float16))
after:  y = Cast(Softmax(MatMul(Cast(x, float32), w')), float16), w' the same numbers in float32
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from flextune.importing.onnx_graph import OnnxGraph, nested_graphs
from flextune.importing.simplify.element_types import element_types

HALVES: Mapping[int, np.dtype] = {
    kind: onnx.helper.tensor_dtype_to_np_dtype(kind) for kind in (TensorProto.FLOAT16, TensorProto.BFLOAT16)
}
"""Element types that nothing is computed in."""

_MOVEMENTS = """
Abs Concat DepthToSpace Expand Flatten Gather GatherElements GatherND Identity Max MaxPool Min Neg Relu Reshape
Slice SpaceToDepth Split Squeeze Tile Transpose Unsqueeze
"""
MOVEMENTS = frozenset(_MOVEMENTS.split())
"""Operators whose results are among the numbers that they read, or their negatives: rounding them changes nothing."""

_JUMPS = """
ArgMax ArgMin Ceil DynamicQuantizeLinear Equal Floor Greater GreaterOrEqual Hardmax IsInf IsNaN Less
LessOrEqual Mod NonMaxSuppression NonZero OneHot QuantizeLinear Range Round Sign ThresholdedRelu TopK Unique
"""
JUMPS = frozenset(_JUMPS.split())
"""Operators for which a digit more may be another result altogether: they see rounded numbers."""

TYPE_ATTRIBUTES = frozenset({"dtype", "output_dtype", "output_datatype", "precision", "to"})
"""Attributes that name the element type of a result."""


def compute_halves_in_float32(graph: OnnxGraph) -> None:
    """Compute models in float16 or bfloat16 in float32, and round where it can be seen (see the module text)."""
    types = element_types(graph)
    if not any(kind in HALVES for kind in types.values()) and not _mentions(graph.nodes):
        return
    _Widening(graph, types).run()


def _mentions(nodes: Iterable[onnx.NodeProto]) -> bool:
    """Whether a node of these, or of the graphs in them, gives 16-bit floats by an attribute."""
    return any(
        (entry.name in TYPE_ATTRIBUTES and entry.i in HALVES) or entry.t.data_type in HALVES
        for node in _all_nodes(nodes)
        for entry in node.attribute
    )


def _all_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    for node in nodes:
        yield node
        for inner in nested_graphs(node):
            yield from _all_nodes(inner.node)


@dataclass(slots=True)
class _Widening:
    graph: OnnxGraph
    types: Mapping[str, int]
    """Of the values as they were."""
    exact: set[str] = field(default_factory=set)
    """Values that 16 bits hold: rounding them again changes nothing."""

    def run(self) -> None:
        graph = self.graph
        for name, array in graph.constants.items():
            if array.dtype in HALVES.values():
                graph.constants[name] = array.astype(np.float32)
                self.exact.add(name)
        before = self._widened_inputs()
        nodes = self._widened(graph.nodes)
        graph.nodes = [*before, *nodes]
        graph.nodes += self._rounded_outputs()

    def _widened_inputs(self) -> list[onnx.NodeProto]:
        nodes = []
        for value in self.graph.inputs:
            if value.type.tensor_type.elem_type in HALVES:
                wide = self.graph.fresh_name(f"{value.name}_float32")
                self.graph.replace_uses(value.name, wide)
                nodes.append(_cast(value.name, wide, TensorProto.FLOAT))
                self.exact.add(wide)
                self.types = {**self.types, wide: value.type.tensor_type.elem_type}
        return nodes

    def _rounded_outputs(self) -> list[onnx.NodeProto]:
        """An output keeps its name and type; what computed it, and all who read it, get another name."""
        nodes = []
        inputs = {value.name for value in self.graph.inputs}
        for value in self.graph.outputs:
            kind = self.types.get(value.name, value.type.tensor_type.elem_type)
            if kind not in HALVES or value.name in inputs:
                continue
            wide = self.graph.fresh_name(f"{value.name}_float32")
            self.graph.replace_uses(value.name, wide)
            if value.name in self.graph.constants:
                self.graph.constants[wide] = self.graph.constants.pop(value.name)
            for node in self.graph.nodes:
                _rename_outputs(node, value.name, wide)
            nodes.append(_cast(wide, value.name, kind))
        return nodes

    def _widened(self, nodes: Iterable[onnx.NodeProto]) -> list[onnx.NodeProto]:
        result: list[onnx.NodeProto] = []
        for node in nodes:
            result += self._node(node)
        return result

    def _node(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        cast = self._cast_to(node)
        if cast is not None:
            self.exact.add(node.output[0])
            return self._rounding(node.input[0], node.output[0], cast, self.types.get(node.input[0], 0))
        if node.op_type == "BitCast":
            return self._bit_cast(node)
        before = self._rounded_inputs(node) if _jumps(node) else []
        for inner in nested_graphs(node):
            self._nested(inner)
        _widen_attributes(node)
        if node.op_type in MOVEMENTS and all(self._is_exact(name) for name in node.input if name):
            self.exact.update(node.output)
        return [*before, node]

    def _cast_to(self, node: onnx.NodeProto) -> int | None:
        """The 16-bit type that a node rounds to."""
        if node.op_type == "Cast":
            kind = next((entry.i for entry in node.attribute if entry.name == "to"), 0)
        elif node.op_type == "CastLike":
            kind = self.types.get(node.input[1], 0)
        else:
            return None
        return kind if kind in HALVES else None

    def _rounding(self, source: str, result: str, kind: int, was: int) -> list[onnx.NodeProto]:
        """The nodes that round a value and give it in float32; `was` is the type that the value had."""
        if was == kind and self._is_exact(source):
            return [onnx.helper.make_node("Identity", [source], [result])]
        nodes, number = [], source
        if was in HALVES and was != kind and not self._is_exact(source):
            number = self.graph.fresh_name(f"{result}_first")
            nodes = self._rounding(source, number, was, was)
        narrow = self.graph.fresh_name(f"{result}_narrow")
        return [*nodes, _cast(number, narrow, kind), _cast(narrow, result, TensorProto.FLOAT)]

    def _bit_cast(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """What looks at bits reads and gives 16 of them."""
        nodes, (source, result) = [], (node.input[0], node.output[0])
        if (kind := self.types.get(source, 0)) in HALVES:
            node.input[0] = self.graph.fresh_name(f"{source}_bits_{result}")
            nodes.append(_cast(source, node.input[0], kind))
        nodes.append(node)
        if any(entry.name == "to" and entry.i in HALVES for entry in node.attribute):
            node.output[0] = self.graph.fresh_name(f"{result}_bits")
            nodes.append(_cast(node.output[0], result, TensorProto.FLOAT))
            self.exact.add(result)
        return nodes

    def _rounded_inputs(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        nodes = []
        for place, name in enumerate(node.input):
            kind = self.types.get(name, 0)
            if kind not in HALVES or self._is_exact(name):
                continue
            rounded = self.graph.fresh_name(f"{name}_rounded_{place}_{node.output[0]}")
            nodes += self._rounding(name, rounded, kind, kind)
            node.input[place] = rounded
        return nodes

    def _is_exact(self, name: str) -> bool:
        return name in self.exact or self.types.get(name, 0) not in HALVES

    def _nested(self, inner: onnx.GraphProto) -> None:
        """The body of a loop or branch, whose inputs and outputs are float32 from here on."""
        for tensor in inner.initializer:
            if tensor.data_type in HALVES:
                wide = numpy_helper.to_array(tensor).astype(np.float32)
                tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))
        found = {value.name: value.type.tensor_type.elem_type for value in (*inner.input, *inner.value_info)}
        self.types = {**self.types, **found}
        for value in (*inner.input, *inner.output, *inner.value_info):
            if value.type.tensor_type.elem_type in HALVES:
                value.type.tensor_type.elem_type = TensorProto.FLOAT
        nodes = self._widened(list(inner.node))
        del inner.node[:]
        inner.node.extend(nodes)


def _jumps(node: onnx.NodeProto) -> bool:
    """Whether a node has to see rounded numbers; a `Cast` to whole numbers cuts them off."""
    if node.op_type == "Cast":
        kind = next((entry.i for entry in node.attribute if entry.name == "to"), 0)
        return kind not in (TensorProto.FLOAT, TensorProto.DOUBLE)
    return node.op_type in JUMPS or node.op_type == "CastLike"


def _widen_attributes(node: onnx.NodeProto) -> None:
    for entry in node.attribute:
        if entry.name in TYPE_ATTRIBUTES and entry.type == onnx.AttributeProto.INT and entry.i in HALVES:
            entry.i = TensorProto.FLOAT
        if entry.t.data_type in HALVES:
            entry.t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(entry.t).astype(np.float32), entry.t.name))


def _cast(source: str, result: str, kind: int) -> onnx.NodeProto:
    return onnx.helper.make_node("Cast", [source], [result], to=kind)


def _rename_outputs(node: onnx.NodeProto, old: str, new: str) -> None:
    for place, name in enumerate(node.output):
        if name == old:
            node.output[place] = new
