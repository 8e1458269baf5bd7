"""Linear layers written in several ways, brought to one: a matrix product with a constant, and a sum with a bias."""

from __future__ import annotations

import math

import numpy as np
import onnx

from flextune.importing.onnx_graph import OnnxGraph, attribute
from flextune.importing.simplify.constants import Extents
from flextune.importing.simplify.links import Links, int64, remove_unused

MODERATE = (2.0**-60, 2.0**60)
"""Factors that weights can take in and stay far from infinity and zero."""

MOVES = ("Reshape", "Transpose")


def linear_over_rows(graph: OnnxGraph) -> None:
    """Let a `Gemm` whose result is reshaped compute on rows of that shape; the reshape moves to where it is merged.

    before: y = Reshape(Gemm(x[16,32], w, b), [1,16,96])   -->   after: y = Add(MatMul(Reshape(x, [1,16,32]), w), b)
    """
    links = Links.of(graph)
    replaced: dict[int, list[onnx.NodeProto]] = {}
    for node in graph.nodes:
        reader = links.only_reader(node.output[0]) if node.op_type == "Gemm" else None
        if reader is not None and reader.op_type == "Reshape":
            written = _over_rows(node, reader.output[0], links)
            if written:
                replaced[id(node)], replaced[id(reader)] = written, []
    _replace(graph, replaced)


def separate_projections(graph: OnnxGraph) -> None:
    """Make a linear layer of which only slices are read into one layer per slice.

    before: q, k, v = Split(Add(MatMul(x, w), b))   -->   after: q = Add(MatMul(x, w1), b1); k = ...; v = ...
    """
    links = Links.of(graph)
    replaced: dict[int, list[onnx.NodeProto]] = {}
    for node in graph.nodes:
        if node.op_type != "MatMul":
            continue
        bias = _bias_of(node, links)
        result = node.output[0] if bias is None else bias[0].output[0]
        parts = _column_parts(result, links)
        weight = links.constant(node.input[1])
        if weight is None or weight.ndim != 2 or not parts:
            continue
        for reader in links.readers[result]:
            replaced[id(reader)] = []
        columns = None if bias is None else bias[1].reshape(-1)
        replaced[id(node)] = [each for part in parts for each in _projection(node, weight, columns, part, graph)]
        if bias is not None:
            replaced[id(bias[0])] = []
    _replace(graph, replaced)


def scale_weights(graph: OnnxGraph) -> None:
    """Take a factor on the result of a linear layer, moved or not, into its constants.

    before: y = Mul(Transpose(Add(MatMul(x, w), b)), 0.5)   -->   after: y = Transpose(Add(MatMul(x, w'), b'))
    """
    links = Links.of(graph)
    for index, node in enumerate(graph.nodes):
        source, factor = _factor(node, links)
        layer = _layer_behind(source, links) if factor is not None else None
        if layer is None or factor is None:
            continue
        for owner, position in layer:
            name = graph.fresh_name(f"{owner.output[0]}_scaled")
            scaled = graph.constants[owner.input[position]].astype(np.float64) * factor
            graph.constants[name] = scaled.astype(np.float32)
            owner.input[position] = name
        graph.nodes[index] = onnx.helper.make_node("Identity", [source], list(node.output), name=node.name)


def _over_rows(node: onnx.NodeProto, result: str, links: Links) -> list[onnx.NodeProto]:
    graph, target = links.graph, links.shapes.get(result)
    weight = links.constant(node.input[1])
    bias = links.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    has_bias = len(node.input) > 2 and bool(node.input[2])
    if weight is None or target is None or (has_bias and bias is None) or attribute(node, "transA", 0):
        return []
    if attribute(node, "transB", 0):
        weight = weight.T
    depth, width = weight.shape
    if not target or target[-1] != width or (bias is not None and bias.size not in (1, width)):
        return []
    rows = graph.fresh_name(f"{result}_rows")
    shape = int64(graph, f"{rows}_shape", [*target[:-1], depth])
    factor = attribute(node, "alpha", 1.0)
    name = _constant(graph, f"{result}_weight", weight if factor == 1.0 else weight * np.float32(factor))
    product = graph.fresh_name(f"{result}_product") if bias is not None else result
    nodes = [
        onnx.helper.make_node("Reshape", [node.input[0], shape], [rows]),
        onnx.helper.make_node("MatMul", [rows, name], [product], name=node.name),
    ]
    if bias is not None:
        shift = (bias * np.float32(attribute(node, "beta", 1.0))).reshape((1,) * (len(target) - 1) + (-1,))
        nodes.append(onnx.helper.make_node("Add", [product, _constant(graph, f"{result}_bias", shift)], [result]))
    return nodes


def _bias_of(node: onnx.NodeProto, links: Links) -> tuple[onnx.NodeProto, np.ndarray] | None:
    """The sum with a constant row that alone reads a product, and that row."""
    reader = links.only_reader(node.output[0])
    if reader is None or reader.op_type != "Add":
        return None
    width = links.extents.get(node.output[0], (0,))[-1:]
    for name in reader.input:
        constant = links.constant(name)
        if constant is not None and constant.ndim and constant.shape[-1:] == width == (constant.size,):
            return reader, constant
    return None


def _column_parts(name: str, links: Links) -> list[tuple[str, int, int]]:
    """(value, first column, end) of every slice of a value; empty unless slices of columns are all that is read."""
    shape = links.extents.get(name)
    readers = links.readers.get(name, [])
    if not shape or len(readers) != links.uses[name]:
        return []
    parts: list[tuple[str, int, int]] = []
    for reader in readers:
        found = _split_parts(reader, shape, links) if reader.op_type == "Split" else _slice_part(reader, shape, links)
        if not found:
            return []
        parts.extend(found)
    return parts if len(parts) > 1 else []


def _split_parts(node: onnx.NodeProto, shape: Extents, links: Links) -> list[tuple[str, int, int]]:
    if attribute(node, "axis", 0) % len(shape) != len(shape) - 1:
        return []
    parts, start = [], 0
    for output in node.output:
        size = links.extents.get(output, (0,))[-1]
        if not isinstance(size, int):
            return []
        parts.append((output, start, start + size))
        start += size
    return parts if start == shape[-1] else []


def _slice_part(node: onnx.NodeProto, shape: Extents, links: Links) -> list[tuple[str, int, int]]:
    bounds = slice_bounds(node, shape, links)
    if bounds is None or bounds[0] != len(shape) - 1:
        return []
    return [(node.output[0], bounds[1], bounds[2])]


def slice_bounds(node: onnx.NodeProto, shape: Extents, links: Links) -> tuple[int, int, int] | None:
    """(axis, start, end) of a slice of one axis, whose extent is a number, by constants with step one."""
    if node.op_type != "Slice" or len(node.input) < 4 or not node.input[3]:
        return None
    starts, ends, axes = (links.constant(name) for name in node.input[1:4])
    steps = links.constant(node.input[4]) if len(node.input) > 4 and node.input[4] else np.array([1])
    if (
        starts is None
        or ends is None
        or axes is None
        or steps is None
        or axes.size != 1
        or int(steps.reshape(-1)[0]) != 1
    ):
        return None
    axis = int(axes.reshape(-1)[0]) % len(shape)
    extent = shape[axis]
    if not isinstance(extent, int):
        return None
    start, end, _ = slice(int(starts.reshape(-1)[0]), int(ends.reshape(-1)[0])).indices(extent)
    return (axis, start, end) if start < end else None


def _projection(
    node: onnx.NodeProto, weight: np.ndarray, bias: np.ndarray | None, part: tuple[str, int, int], graph: OnnxGraph
) -> list[onnx.NodeProto]:
    result, start, end = part
    columns = _constant(graph, f"{result}_weight", weight[:, start:end])
    product = graph.fresh_name(f"{result}_product") if bias is not None else result
    nodes = [onnx.helper.make_node("MatMul", [node.input[0], columns], [product], name=f"{node.name}_{start}")]
    if bias is not None:
        shift = _constant(graph, f"{result}_bias", bias[start:end])
        nodes.append(onnx.helper.make_node("Add", [product, shift], [result]))
    return nodes


def _factor(node: onnx.NodeProto, links: Links) -> tuple[str, float | None]:
    """The value that a node multiplies by a constant number, and the number."""
    if node.op_type not in ("Mul", "Div") or len(node.input) != 2:
        return "", None
    left, right = node.input
    number = links.scalar(right)
    if number is None and node.op_type == "Mul":
        left, right, number = right, left, links.scalar(left)
    shape, result = links.extents.get(left), links.extents.get(node.output[0])
    if number is None or shape is None or shape != result or links.constant(left) is not None:
        return "", None
    factor = number if node.op_type == "Mul" else 1.0 / number if number else math.inf
    return left, factor if MODERATE[0] <= abs(factor) <= MODERATE[1] else None


def _layer_behind(name: str, links: Links) -> list[tuple[onnx.NodeProto, int]] | None:
    """The constants (node and position of input) of the linear layer whose result, moved, is this value alone."""
    while links.uses[name] == 1:
        node = links.writers.get(name)
        if node is None or (node.op_type not in (*MOVES, "Identity") and node.op_type not in ("Add", "MatMul")):
            return None
        if node.op_type in (*MOVES, "Identity"):
            name = node.input[0]
            continue
        if node.op_type == "MatMul":
            return [(node, 1)] if _is_float(links, node.input[1]) else None
        position = next((place for place, each in enumerate(node.input) if _is_float(links, each)), None)
        product = None if position is None else links.writer(node.input[1 - position], "MatMul")
        if (
            position is None
            or product is None
            or links.uses[product.output[0]] != 1
            or not _is_float(links, product.input[1])
        ):
            return None
        return [(node, position), (product, 1)]
    return None


def _is_float(links: Links, name: str) -> bool:
    array = links.constant(name)
    return array is not None and array.dtype == np.float32


def _constant(graph: OnnxGraph, stem: str, array: np.ndarray) -> str:
    name = graph.fresh_name(stem)
    graph.constants[name] = np.ascontiguousarray(array)
    return name


def _replace(graph: OnnxGraph, replaced: dict[int, list[onnx.NodeProto]]) -> None:
    if replaced:
        graph.nodes = [each for node in graph.nodes for each in replaced.get(id(node), [node])]
        remove_unused(graph)
