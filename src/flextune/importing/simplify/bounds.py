"""Bounds and thresholds as comparisons: NaN and infinities come out right, and nothing is stacked to be reduced."""

from __future__ import annotations

import numpy as np
import onnx

from flextune.importing.onnx_graph import OnnxGraph, attribute
from flextune.importing.simplify.element_types import element_types

OLDEST_OPSET = 11
"""Bounds of `Clip` are inputs from here on, and `Where` is known."""

COMPARISONS = {"Max": "Greater", "Min": "Less"}

OPERATORS = frozenset({"Clip", "ThresholdedRelu", *COMPARISONS})

FLOATS = frozenset(
    {onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}
)


def compare_bounds(graph: OnnxGraph) -> None:
    """Spell out bounds; a bound that is NaN is none (ONNX operators, "Clip", and NumPy's `maximum`).

    before: y = Clip(x, lo, hi)   -->   after: t = Where(Greater(lo, x), lo, x); y = Where(Less(hi, t), hi, t)
    before: y = Max(a, b)         -->   after: y = Where(Or(Greater(a, b), IsNaN(a)), a, b)
    before: y = ThresholdedRelu(x)   -->   after: y = Where(Greater(x, 1), x, 0), where the importer has x * (x > 1)
    """
    if graph.opset < OLDEST_OPSET or not any(node.op_type in OPERATORS for node in graph.nodes):
        return
    types = element_types(graph)
    rewritten: list[onnx.NodeProto] = []
    for node in graph.nodes:
        if node.op_type == "Clip":
            rewritten.extend(_clip(node, graph))
        elif node.op_type in COMPARISONS and len(node.input) == 2 and types.get(node.input[0]):
            rewritten.extend(_extreme(node, graph, types))
        elif node.op_type == "ThresholdedRelu" and types.get(node.input[0]) in FLOATS:
            rewritten.extend(_thresholded(node, graph, types[node.input[0]]))
        else:
            rewritten.append(node)
    graph.nodes = rewritten


def _thresholded(node: onnx.NodeProto, graph: OnnxGraph, element_type: int) -> list[onnx.NodeProto]:
    value, result, dtype = node.input[0], node.output[0], onnx.helper.tensor_dtype_to_np_dtype(element_type)
    threshold, zero, above = (graph.fresh_name(f"{result}_{role}") for role in ("threshold", "zero", "above"))
    graph.constants[threshold] = np.array(attribute(node, "alpha", 1.0), dtype)
    graph.constants[zero] = np.array(0, dtype)
    return [
        onnx.helper.make_node("Greater", [value, threshold], [above]),
        onnx.helper.make_node("Where", [above, value, zero], [result], name=node.name),
    ]


def _clip(node: onnx.NodeProto, graph: OnnxGraph) -> list[onnx.NodeProto]:
    bounds = [(operator, name) for operator, name in zip(COMPARISONS, node.input[1:], strict=False) if name]
    if not bounds:
        return [onnx.helper.make_node("Identity", [node.input[0]], list(node.output), name=node.name)]
    value, nodes = node.input[0], []
    for place, (operator, bound) in enumerate(bounds):
        result = (
            node.output[0] if place == len(bounds) - 1 else graph.fresh_name(f"{node.output[0]}_{operator.lower()}")
        )
        nodes.extend(_bounded(operator, bound, value, result, graph))
        value = result
    return nodes


def _extreme(node: onnx.NodeProto, graph: OnnxGraph, types: dict[str, int]) -> list[onnx.NodeProto]:
    left, right = node.input
    if right in graph.constants:
        left, right = right, left
    if left in graph.constants or types[node.input[0]] not in FLOATS:
        return _bounded(node.op_type, left, right, node.output[0], graph)
    name = node.output[0]
    beyond, missing, chosen = (graph.fresh_name(f"{name}_{role}") for role in ("beyond", "missing", "chosen"))
    return [
        onnx.helper.make_node(COMPARISONS[node.op_type], [left, right], [beyond]),
        onnx.helper.make_node("IsNaN", [left], [missing]),
        onnx.helper.make_node("Or", [beyond, missing], [chosen]),
        onnx.helper.make_node("Where", [chosen, left, right], [name], name=node.name),
    ]


def _bounded(operator: str, bound: str, value: str, result: str, graph: OnnxGraph) -> list[onnx.NodeProto]:
    """The larger (`Max`) or smaller of bound and value; NaN where the value is, the value where the bound is."""
    beyond = graph.fresh_name(f"{result}_beyond")
    return [
        onnx.helper.make_node(COMPARISONS[operator], [bound, value], [beyond]),
        onnx.helper.make_node("Where", [beyond, bound, value], [result], name=result),
    ]
