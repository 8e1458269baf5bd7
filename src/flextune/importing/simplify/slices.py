"""Reads at constant positions as slices, and slices taken as early as they can be."""

from __future__ import annotations

import math

import numpy as np
import onnx

from flextune.importing.onnx_graph import OnnxGraph, attribute
from flextune.importing.simplify.links import Links, Shape, int64, remove_unused
from flextune.importing.simplify.rows import slice_bounds

MAX_ROUNDS = 8
"""How many moving nodes a slice passes at most."""


def slice_constant_reads(graph: OnnxGraph) -> None:
    """Write `Gather` of one constant position, or of neighbouring ones, as a slice.

    before: y = Gather(x[3,8], 1)   -->   after: y = Reshape(Slice(x, [1], [2], axes=[0]), [8])
    """
    links = Links.of(graph)
    nodes = []
    for node in graph.nodes:
        nodes.extend(_as_slice(node, links) if node.op_type == "Gather" else [node])
    graph.nodes = nodes


def lift_slices(graph: OnnxGraph) -> None:
    """Slice before a transpose or reshape instead of behind it, where nothing but slices reads its result.

    before: y = Slice(Transpose(x))   -->   after: y = Transpose(Slice(x))
    """
    for _ in range(MAX_ROUNDS):
        if not _lift_once(graph):
            return


def _lift_once(graph: OnnxGraph) -> bool:
    links = Links.of(graph)
    moved, nodes = False, []
    for node in graph.nodes:
        lifted = _lifted(node, links) if node.op_type == "Slice" else None
        nodes.extend([node] if lifted is None else lifted)
        moved = moved or lifted is not None
    graph.nodes = nodes
    remove_unused(graph)
    return moved


def _as_slice(node: onnx.NodeProto, links: Links) -> list[onnx.NodeProto]:
    indices, shape = links.constant(node.input[1]), links.shapes.get(node.input[0])
    target = links.shapes.get(node.output[0])
    if (
        indices is None
        or shape is None
        or target is None
        or indices.size == 0
        or links.constant(node.input[0]) is not None
    ):
        return [node]
    axis = attribute(node, "axis", 0) % len(shape)
    positions = indices.reshape(-1) % shape[axis]
    first = int(positions[0])
    if not np.array_equal(positions, np.arange(first, first + positions.size)):
        return [node]
    result = node.output[0]
    part = links.graph.fresh_name(f"{result}_part")
    wanted = int64(links.graph, f"{result}_shape", list(target))
    return [
        _slice(links.graph, node.input[0], part, axis, first, first + positions.size),
        onnx.helper.make_node("Reshape", [part, wanted], [result], name=node.name),
    ]


def _lifted(node: onnx.NodeProto, links: Links) -> list[onnx.NodeProto] | None:
    source = node.input[0]
    writer = links.writer(source, "Transpose", "Reshape")
    shape, target = links.shapes.get(source), links.shapes.get(node.output[0])
    readers = links.readers.get(source, [])
    if writer is None or shape is None or target is None or len(readers) != links.uses[source]:
        return None
    if any(reader.op_type != "Slice" for reader in readers):
        return None
    bounds, before = slice_bounds(node, shape, links), links.shapes.get(writer.input[0])
    if bounds is None or before is None:
        return None
    axis, start, end = bounds
    result, graph = node.output[0], links.graph
    part = graph.fresh_name(f"{result}_part")
    if writer.op_type == "Transpose":
        perm = attribute(writer, "perm", tuple(reversed(range(len(shape)))))
        move = onnx.helper.make_node("Transpose", [part], [result], name=node.name, perm=list(perm))
        return [_slice(graph, writer.input[0], part, perm[axis], start, end), move]
    found = _axis_before(before, shape, axis)
    if found is None:
        return None
    place, step = found
    wanted = int64(graph, f"{result}_shape", list(target))
    move = onnx.helper.make_node("Reshape", [part, wanted], [result], name=node.name)
    return [_slice(graph, writer.input[0], part, place, start * step, end * step), move]


def _axis_before(before: Shape, after: Shape, axis: int) -> tuple[int, int] | None:
    """The axis of the shape before a reshape whose outer part `axis` is, and how many of its elements one step is."""
    outside, inside = math.prod(after[:axis]), math.prod(after[axis + 1 :])
    for place, size in enumerate(before):
        inner = math.prod(before[place + 1 :])
        starts_alike = math.prod(before[:place]) == outside and size > 1
        if starts_alike and size * inner == after[axis] * inside and inside % inner == 0:
            return place, inside // inner
    return None


def _slice(graph: OnnxGraph, source: str, result: str, axis: int, start: int, end: int) -> onnx.NodeProto:
    bounds = [
        int64(graph, f"{result}_{role}", [value])
        for role, value in zip(("from", "to", "axis"), (start, end, axis), strict=True)
    ]
    return onnx.helper.make_node("Slice", [source, *bounds], [result], name=result)
