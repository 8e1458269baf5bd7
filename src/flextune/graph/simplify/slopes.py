"""`PRelu` as a selection, which fuses with what is before it and is known to every change of layout."""

from __future__ import annotations

import onnx
from onnx.helper import tensor_dtype_to_np_dtype

from flextune.graph.onnx_graph import OnnxGraph
from flextune.graph.simplify.element_types import element_types

OLDEST_OPSET = 9
"""`Where` is known from here on, and slopes broadcast as NumPy has it."""


def select_slopes(graph: OnnxGraph) -> None:
    """Spell out `PRelu`; NaN stays NaN.

    before: y = PRelu(x, s)   -->   after: y = Where(Less(x, 0), Mul(x, s), x)
    """
    if graph.opset < OLDEST_OPSET or not any(node.op_type == "PRelu" for node in graph.nodes):
        return
    types = element_types(graph)
    rewritten = []
    for node in graph.nodes:
        kind = types.get(node.input[0]) if node.op_type == "PRelu" else None
        rewritten.extend([node] if kind is None else _selection(node, kind, graph))
    graph.nodes = rewritten


def _selection(node: onnx.NodeProto, kind: int, graph: OnnxGraph) -> list[onnx.NodeProto]:
    (source, slope), result = node.input, node.output[0]
    zero, below, scaled = (graph.fresh_name(f"{result}_{role}") for role in ("zero", "below", "scaled"))
    graph.constants[zero] = tensor_dtype_to_np_dtype(kind).type(0).reshape(())
    return [
        onnx.helper.make_node("Less", [source, zero], [below]),
        onnx.helper.make_node("Mul", [source, slope], [scaled]),
        onnx.helper.make_node("Where", [below, scaled, source], [result], name=node.name),
    ]
