"""Tensors without elements: nothing has to be computed for them, and nothing is read of them."""

from __future__ import annotations

import numpy as np
import onnx

from flextune.importing.onnx_graph import OnnxGraph
from flextune.importing.simplify.constants import static_shapes
from flextune.importing.simplify.element_types import element_types


def empty_values(graph: OnnxGraph) -> None:
    """Make every value without elements a constant, that of an input too; what reads nothing else is folded later.

    before: y = Concat(x[0,4], z[2,4])   -->   after: y = Concat(z[2,4])
    """
    shapes = static_shapes(graph)
    empty = {name for name, shape in shapes.items() if 0 in shape}
    if not empty - graph.constants.keys() and not any(node.op_type == "Concat" for node in graph.nodes):
        return
    types = element_types(graph)
    for value in graph.inputs:
        if value.name in empty:
            name = graph.fresh_name(f"{value.name}_empty")
            graph.constants[name] = _nothing(shapes[value.name], types[value.name])
            graph.replace_uses(value.name, name)
    kept = []
    for node in graph.nodes:
        results = [name for name in node.output if name]
        if results and all(name in empty and name in types for name in results):
            graph.constants.update({name: _nothing(shapes[name], types[name]) for name in results})
        else:
            kept.append(_without_empty(node, graph))
    graph.nodes = kept


def _without_empty(node: onnx.NodeProto, graph: OnnxGraph) -> onnx.NodeProto:
    """A concatenation of what has elements; any other node as it is."""
    if node.op_type == "Concat":
        full = [name for name in node.input if name not in graph.constants or graph.constants[name].size]
        if full and len(full) < len(node.input):
            node.input[:] = full
    return node


def _nothing(shape: tuple[int, ...], kind: int) -> np.ndarray:
    return np.empty(shape, onnx.helper.tensor_dtype_to_np_dtype(kind))
