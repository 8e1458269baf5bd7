"""`BitShift` by more bits than there are, which processors leave open and ONNX does not."""

from __future__ import annotations

import numpy as np
import onnx

from flextune.importing.onnx_graph import OnnxGraph, attribute
from flextune.importing.simplify.element_types import element_types


def bounded_shifts(graph: OnnxGraph) -> None:
    """Shift by at most the width less one, and give 0 beyond, or the sign where a signed number goes right.

    before: y = BitShift(x: uint8, s)   -->   after: y = Where(Less(s, 8), BitShift(x, Min(s, 7)), 0)
    Bits that a negative number of places would shift are as those beyond (ONNX operators, "BitShift").
    """
    if not any(node.op_type == "BitShift" for node in graph.nodes):
        return
    types = element_types(graph)
    rewritten: list[onnx.NodeProto] = []
    for node in graph.nodes:
        kind = types.get(node.input[0]) if node.op_type == "BitShift" else None
        rewritten.extend([node] if kind is None else _bounded(node, kind, graph))
    graph.nodes = rewritten


def _bounded(node: onnx.NodeProto, kind: int, graph: OnnxGraph) -> list[onnx.NodeProto]:
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind))
    width, name = 8 * dtype.itemsize, node.output[0]
    value, places = node.input
    zero, most, number = (_constant(graph, f"{name}_{each}", each, dtype) for each in (0, width - 1, width))
    in_range, few, shifted = (graph.fresh_name(f"{name}_{role}") for role in ("in", "few", "shifted"))
    nodes = [onnx.helper.make_node("Less", [places, number], [in_range])]
    if dtype.kind == "i":
        positive, both = graph.fresh_name(f"{name}_positive"), graph.fresh_name(f"{name}_both")
        nodes.append(onnx.helper.make_node("GreaterOrEqual", [places, zero], [positive]))
        nodes.append(onnx.helper.make_node("And", [in_range, positive], [both]))
        in_range = both
    nodes.append(onnx.helper.make_node("Where", [in_range, places, most], [few]))
    if dtype.kind == "i" and attribute(node, "direction", "LEFT") == "RIGHT":  # the sign is what is left
        return [*nodes, _shift(node, value, few, name)]
    return [
        *nodes,
        _shift(node, value, few, shifted),
        onnx.helper.make_node("Where", [in_range, shifted, zero], [name], name=f"{node.name}_kept"),
    ]


def _shift(node: onnx.NodeProto, value: str, places: str, result: str) -> onnx.NodeProto:
    direction = attribute(node, "direction", "LEFT")
    return onnx.helper.make_node("BitShift", [value, places], [result], name=node.name, direction=direction)


def _constant(graph: OnnxGraph, stem: str, value: int, dtype: np.dtype) -> str:
    name = graph.fresh_name(stem)
    graph.constants[name] = np.array(value, dtype)
    return name
