"""Operators on element types for which the importer or TVM has no form, by operators that there are."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import onnx

from flextune.errors import ModelError
from flextune.importing.onnx_graph import OnnxGraph, attribute
from flextune.importing.simplify.constants import static_shapes
from flextune.importing.simplify.element_types import element_types

BOOL, DOUBLE, UINT8 = onnx.TensorProto.BOOL, onnx.TensorProto.DOUBLE, onnx.TensorProto.UINT8

OLDEST_OPSET = 13
"""`Where` and casts of all types are known."""


def rewrite_other_types(graph: OnnxGraph) -> None:
    """Write comparisons and extremes of booleans, means of whole numbers and `Selu` in float64 by other operators.

    before: y = Equal(a: bool, b: bool)   -->   after: y = Not(Xor(a, b))
    before: y = ReduceMax(a: bool)        -->   after: y = Cast(ReduceMax(Cast(a, uint8)), bool)
    """
    if graph.opset < OLDEST_OPSET or not any(node.op_type in FORMS for node in graph.nodes):
        return
    types = element_types(graph)
    rewritten: list[onnx.NodeProto] = []
    for node in graph.nodes:
        kinds, form = FORMS.get(node.op_type, (frozenset(), None))
        is_meant = form is not None and node.domain in ("", "ai.onnx") and types.get(node.input[0]) in kinds
        rewritten.extend(form(node, graph) if form is not None and is_meant else [node])
    graph.nodes = rewritten


def _equal(node: onnx.NodeProto, graph: OnnxGraph) -> list[onnx.NodeProto]:
    differs = graph.fresh_name(f"{node.output[0]}_differs")
    return [
        onnx.helper.make_node("Xor", list(node.input), [differs]),
        onnx.helper.make_node("Not", [differs], list(node.output), name=node.name),
    ]


def _extreme(node: onnx.NodeProto, graph: OnnxGraph) -> list[onnx.NodeProto]:
    bytes_, found = (graph.fresh_name(f"{node.output[0]}_{role}") for role in ("bytes", "found"))
    reduced = onnx.NodeProto()
    reduced.CopyFrom(node)
    reduced.input[0], reduced.output[0] = bytes_, found
    return [
        onnx.helper.make_node("Cast", [node.input[0]], [bytes_], to=UINT8),
        reduced,
        onnx.helper.make_node("Cast", [found], list(node.output), to=BOOL),
    ]


def _selu(node: onnx.NodeProto, graph: OnnxGraph) -> list[onnx.NodeProto]:
    source, result = node.input[0], node.output[0]
    roles = ("zero", "one", "gamma", "product", "below", "exp", "less", "scaled", "selected")
    names = {role: graph.fresh_name(f"{result}_{role}") for role in roles}
    gamma = np.float64(attribute(node, "gamma", 1.0507009873554804934193349852946))
    alpha = np.float64(attribute(node, "alpha", 1.6732632423543772848170429916717))
    values = {"zero": np.float64(0), "one": np.float64(1), "gamma": gamma, "product": gamma * alpha}
    graph.constants |= {names[role]: np.asarray(value) for role, value in values.items()}
    return [
        onnx.helper.make_node("Less", [source, names["zero"]], [names["below"]]),
        onnx.helper.make_node("Exp", [source], [names["exp"]]),
        onnx.helper.make_node("Sub", [names["exp"], names["one"]], [names["less"]]),
        onnx.helper.make_node("Mul", [names["less"], names["product"]], [names["scaled"]]),
        onnx.helper.make_node("Mul", [source, names["gamma"]], [names["selected"]]),
        onnx.helper.make_node("Where", [names["below"], names["scaled"], names["selected"]], [result], name=node.name),
    ]


def _whole_mean(node: onnx.NodeProto, graph: OnnxGraph) -> list[onnx.NodeProto]:
    """The sum divided by the number of elements, without what is left over."""
    shapes, types = static_shapes(graph), element_types(graph)
    source, result = node.input[0], node.output[0]
    if not {source, result} <= shapes.keys():
        raise ModelError(f"ReduceMean {node.name or result}: means of whole numbers need a known shape")
    count = math.prod(shapes[source]) // max(math.prod(shapes[result]), 1)
    total, number = (graph.fresh_name(f"{result}_{role}") for role in ("total", "count"))
    graph.constants[number] = np.array(count, onnx.helper.tensor_dtype_to_np_dtype(types[source]))
    summed = onnx.NodeProto()
    summed.CopyFrom(node)
    summed.op_type, summed.output[0] = "ReduceSum", total
    return [summed, onnx.helper.make_node("Div", [total, number], [result], name=node.name)]


WHOLE = frozenset(getattr(onnx.TensorProto, name) for name in ("INT32", "INT64", "UINT32", "UINT64"))

FORMS: dict[str, tuple[frozenset[int], Callable[[onnx.NodeProto, OnnxGraph], list[onnx.NodeProto]]]] = {
    "Equal": (frozenset({BOOL}), _equal),
    "ReduceMax": (frozenset({BOOL}), _extreme),
    "ReduceMean": (WHOLE, _whole_mean),
    "ReduceMin": (frozenset({BOOL}), _extreme),
    "Selu": (frozenset({DOUBLE}), _selu),
}
"""Operator -> the element types that it has no form for, or a wrong one, and what it is written as."""
