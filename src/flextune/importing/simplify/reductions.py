"""Reductions over no axes, which leave shapes alone but not always values."""

from __future__ import annotations

import onnx

from flextune.importing.onnx_graph import OnnxGraph, attribute

ELEMENTWISE = {
    "ReduceL1": "Abs",
    "ReduceL2": "Abs",
    "ReduceLogSum": "Log",
    "ReduceLogSumExp": "Identity",
    "ReduceMax": "Identity",
    "ReduceMean": "Identity",
    "ReduceMin": "Identity",
    "ReduceProd": "Identity",
    "ReduceSum": "Identity",
    "ReduceSumSquare": "Mul",
}
"""What each reduction makes of a single element; `Mul` by itself."""


def reductions_of_nothing(graph: OnnxGraph) -> None:
    """Write a reduction over no axes as what it makes of single elements (ONNX operators, "noop_with_empty_axes").

    before: y = ReduceSumSquare(x, axes=[], noop_with_empty_axes=1)   -->   after: y = Mul(x, x)
    """
    for index, node in enumerate(graph.nodes):
        operator = ELEMENTWISE.get(node.op_type) if _reduces_nothing(node, graph) else None
        if operator is not None:
            operands = [node.input[0]] * (2 if operator == "Mul" else 1)
            graph.nodes[index] = onnx.helper.make_node(operator, operands, list(node.output), name=node.name)


def _reduces_nothing(node: onnx.NodeProto, graph: OnnxGraph) -> bool:
    if not attribute(node, "noop_with_empty_axes", 0) or attribute(node, "axes", (0,) * 0):
        return False
    axes = graph.constants.get(node.input[1]) if len(node.input) > 1 and node.input[1] else None
    is_given = len(node.input) > 1 and bool(node.input[1])
    return not is_given or (axes is not None and axes.size == 0)
