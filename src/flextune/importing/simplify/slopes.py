"""`PRelu` as a selection, which fuses with what is before it and is known to every change of layout."""

from __future__ import annotations

import onnx
from onnx.helper import tensor_dtype_to_np_dtype

from flextune.importing.onnx_graph import OnnxGraph
from flextune.importing.simplify.constants import static_shapes
from flextune.importing.simplify.element_types import element_types

OLDEST_OPSET = 9
"""`Where` is known from here on."""

BROADCASTING = 7
"""The set from which on slopes broadcast as NumPy has it; before, they are one for all or one for each channel."""


def select_slopes(graph: OnnxGraph) -> None:
    """Spell out `PRelu`; NaN stays NaN.

    before: y = PRelu(x, s)   -->   after: y = Where(Less(x, 0), Mul(x, s), x)
    """
    if not any(node.op_type == "PRelu" for node in graph.nodes):
        return
    if graph.opset < BROADCASTING:
        _slopes_of_channels(graph)
    if graph.opset < OLDEST_OPSET:
        return
    types = element_types(graph)
    rewritten = []
    for node in graph.nodes:
        kind = types.get(node.input[0]) if node.op_type == "PRelu" else None
        rewritten.extend([node] if kind is None else _selection(node, kind, graph))
    graph.nodes = rewritten


def _slopes_of_channels(graph: OnnxGraph) -> None:
    shapes = static_shapes(graph)
    for node in graph.nodes:
        slopes = graph.constants.get(node.input[1]) if node.op_type == "PRelu" else None
        rank = len(shapes.get(node.input[0], ()))
        if slopes is not None and slopes.ndim == 1 and slopes.size > 1 and rank > 1:
            node.input[1] = graph.fresh_name(f"{node.output[0]}_slopes")
            graph.constants[node.input[1]] = slopes.reshape(-1, *[1] * (rank - 2))


def _selection(node: onnx.NodeProto, kind: int, graph: OnnxGraph) -> list[onnx.NodeProto]:
    (source, slope), result = node.input, node.output[0]
    zero, below, scaled = (graph.fresh_name(f"{result}_{role}") for role in ("zero", "below", "scaled"))
    graph.constants[zero] = tensor_dtype_to_np_dtype(kind).type(0).reshape(())
    return [
        onnx.helper.make_node("Less", [source, zero], [below]),
        onnx.helper.make_node("Mul", [source, slope], [scaled]),
        onnx.helper.make_node("Where", [below, scaled, source], [result], name=node.name),
    ]
