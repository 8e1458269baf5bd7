"""Layer normalisation that the importer or a change of layout reads in another way than ONNX means it, rewritten."""

from __future__ import annotations

import math

import numpy as np
import onnx

from flextune.importing.onnx_graph import OnnxGraph, attribute
from flextune.importing.simplify.constants import partial_shapes, static_shapes
from flextune.importing.simplify.element_types import element_types
from flextune.importing.simplify.links import Shape, int64

NORMS = frozenset({"LayerNormalization", "RMSNormalization"})


def normalize_rows(graph: OnnxGraph) -> None:
    """Normalise over several axes as over one: a change of layout moves axes, and not the scale that goes with them.

    before: y = LayerNormalization(x[2,4,6,5], s[4,6,5], axis=1)
    after:  y = Reshape(LayerNormalization(Reshape(x, [2,120]), s'[120], axis=1), [2,4,6,5])
    """
    if not any(node.op_type in NORMS for node in graph.nodes):
        return
    shapes = static_shapes(graph)
    rewritten: list[onnx.NodeProto] = []
    for node in graph.nodes:
        shape = shapes.get(node.input[0]) if node.op_type in NORMS else None
        axis = attribute(node, "axis", -1) % len(shape) if shape else 0
        if (
            shape is None
            or axis == len(shape) - 1
            or any(shapes.get(name) != shape[axis:] for name in node.input[1:] if name)
        ):
            rewritten.append(node)
        else:
            rewritten.extend(_over_rows(node, axis, shape, graph))
    graph.nodes = rewritten


def _over_rows(node: onnx.NodeProto, axis: int, shape: Shape, graph: OnnxGraph) -> list[onnx.NodeProto]:
    name, size = node.output[0], math.prod(shape[axis:])
    row = int64(graph, f"{name}_row", [size])
    inputs, nodes = [], []
    for place, each in enumerate(node.input):
        target = int64(graph, f"{name}_rows", [math.prod(shape[:axis]), size]) if place == 0 else row
        inputs.append(graph.fresh_name(f"{name}_flat{place}") if each else "")
        if each:
            nodes.append(onnx.helper.make_node("Reshape", [each, target], [inputs[-1]]))
    flat = graph.fresh_name(f"{name}_normal")
    kept = [entry for entry in node.attribute if entry.name != "axis"]
    normal = onnx.helper.make_node(node.op_type, inputs, [flat], name=node.name, axis=1)
    normal.attribute.extend(kept)
    back = int64(graph, f"{name}_shape", list(shape))
    return [*nodes, normal, onnx.helper.make_node("Reshape", [flat, back], [name])]


def spell_out_layer_norms(graph: OnnxGraph) -> None:
    """Write `LayerNormalization` by its definition where mean or deviation are read, the scale is broadcast,
    elements are float64, or sizes that it normalises over are no numbers; `RMSNormalization` where any size is none.

    before: y, mean = LayerNormalization(x, s, b)
    after: d = x - ReduceMean(x); y = d / Sqrt(ReduceMean(d * d)) ...
    """
    if not any(node.op_type in NORMS for node in graph.nodes):
        return
    shapes, types, uses = partial_shapes(graph), element_types(graph), graph.use_counts()
    rewritten = []
    for node in graph.nodes:
        shape = shapes.get(node.input[0])
        if node.op_type not in NORMS or shape is None:
            rewritten.append(node)
            continue
        axis, is_symbolic = attribute(node, "axis", -1) % len(shape), None in shape
        kind = types.get(node.input[0], onnx.TensorProto.FLOAT)
        if node.op_type == "RMSNormalization":
            rewritten += _rms_spelt_out(node, axis, len(shape), kind, graph) if is_symbolic else [node]
            continue
        is_read = any(uses[name] > 0 for name in node.output[1:] if name)
        is_broadcast = any(shapes.get(name, ()) != shape[axis:] for name in node.input[1:] if name)
        is_wide = kind == onnx.TensorProto.DOUBLE
        is_plain = not (is_read or is_broadcast or is_wide or (is_symbolic and len(shape) - axis > 1))
        rewritten += (
            [node] if is_plain and None not in shape[axis:] else _spelt_out(node, axis, len(shape), kind, graph)
        )
    graph.nodes = rewritten


def _rms_spelt_out(node: onnx.NodeProto, axis: int, rank: int, kind: int, graph: OnnxGraph) -> list[onnx.NodeProto]:
    name = node.output[0]
    square, mean, shifted, root, normal = (
        graph.fresh_name(f"{name}_{role}") for role in ("square", "mean", "shifted", "root", "normal")
    )
    return [
        onnx.helper.make_node("Mul", [node.input[0], node.input[0]], [square]),
        _mean(square, mean, list(range(axis, rank)), graph),
        onnx.helper.make_node("Add", [mean, _epsilon(node, kind, graph)], [shifted]),
        onnx.helper.make_node("Sqrt", [shifted], [root]),
        onnx.helper.make_node("Div", [node.input[0], root], [normal]),
        onnx.helper.make_node("Mul", [normal, node.input[1]], [name]),
    ]


def _epsilon(node: onnx.NodeProto, kind: int, graph: OnnxGraph) -> str:
    name = graph.fresh_name(f"{node.output[0]}_epsilon")
    graph.constants[name] = np.array(attribute(node, "epsilon", 1e-5), onnx.helper.tensor_dtype_to_np_dtype(kind))
    return name


def _spelt_out(node: onnx.NodeProto, axis: int, rank: int, kind: int, graph: OnnxGraph) -> list[onnx.NodeProto]:
    name = node.output[0]
    outputs = [*node.output, "", ""]
    mean, inverse = (outputs[place] or graph.fresh_name(f"{name}_{role}") for place, role in ((1, "mean"), (2, "rate")))
    centred, square, variance, shifted, root, normal = (
        graph.fresh_name(f"{name}_{role}") for role in ("centred", "square", "variance", "shifted", "root", "normal")
    )
    axes = list(range(axis, rank))
    bias = node.input[2] if len(node.input) > 2 else ""
    scaled = graph.fresh_name(f"{name}_scaled") if bias else name
    nodes = [
        _mean(node.input[0], mean, axes, graph),
        onnx.helper.make_node("Sub", [node.input[0], mean], [centred]),
        onnx.helper.make_node("Mul", [centred, centred], [square]),
        _mean(square, variance, axes, graph),
        onnx.helper.make_node("Add", [variance, _epsilon(node, kind, graph)], [shifted]),
        onnx.helper.make_node("Sqrt", [shifted], [root]),
        onnx.helper.make_node("Reciprocal", [root], [inverse]),
        onnx.helper.make_node("Mul", [centred, inverse], [normal]),
        onnx.helper.make_node("Mul", [normal, node.input[1]], [scaled]),
    ]
    return [*nodes, onnx.helper.make_node("Add", [scaled, bias], [name])] if bias else nodes


def _mean(source: str, result: str, axes: list[int], graph: OnnxGraph) -> onnx.NodeProto:
    """`ReduceMean` over `axes` in the form of the graph's operator set."""
    if graph.opset < 18:
        return onnx.helper.make_node("ReduceMean", [source], [result], axes=axes, keepdims=1)
    name = graph.fresh_name(f"{result}_axes")
    graph.constants[name] = np.array(axes, np.int64)
    return onnx.helper.make_node("ReduceMean", [source, name], [result], keepdims=1)
