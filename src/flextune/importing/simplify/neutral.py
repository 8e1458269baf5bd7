"""Nodes that turn out to change nothing once shapes and constants are known."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import onnx

from flextune.importing.onnx_graph import OnnxGraph, attribute
from flextune.importing.simplify.identities import remove_identities
from flextune.importing.simplify.links import Links, int64


def remove_neutral(graph: OnnxGraph) -> None:
    """Drop sums with zero, products with one, whole slices, expansions to the same shape, and their like.

    before: y = Add(x, zeros)   -->   after: y = x
    """
    links = Links.of(graph)
    for index, node in enumerate(graph.nodes):
        find = NEUTRAL.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        source = find(node, links) if find is not None else None
        result = node.output[0]
        if source is None or result not in links.extents:
            continue
        if links.extents.get(source) == links.extents[result]:
            graph.nodes[index] = onnx.helper.make_node("Identity", [source], [result], name=node.name)
        elif node.op_type == "GatherND" and result in links.shapes:
            shape = int64(graph, f"{result}_shape", list(links.shapes[result]))
            graph.nodes[index] = onnx.helper.make_node("Reshape", [source, shape], [result], name=node.name)
    remove_identities(graph)


def _besides(value: float, *positions: int) -> Callable[[onnx.NodeProto, Links], str | None]:
    """The other operand where the one at one of these positions is this number throughout."""

    def find(node: onnx.NodeProto, links: Links) -> str | None:
        for position in positions:
            constant = links.constant(node.input[position])
            other = str(node.input[1 - position])
            if constant is not None and links.constant(other) is None and np.all(constant == value):
                return other
        return None

    return find


def _same_shape(node: onnx.NodeProto, links: Links) -> str | None:
    del links
    return str(node.input[0])


def _slice(node: onnx.NodeProto, links: Links) -> str | None:
    steps = links.constant(node.input[4]) if len(node.input) > 4 and node.input[4] else np.array([1])
    return str(node.input[0]) if steps is not None and np.all(steps == 1) else None


def _pad(node: onnx.NodeProto, links: Links) -> str | None:
    pads = links.constant(node.input[1]) if len(node.input) > 1 else None
    return str(node.input[0]) if pads is not None and not np.any(pads) else None


def _where(node: onnx.NodeProto, links: Links) -> str | None:
    condition = links.constant(node.input[0])
    if condition is None:
        return None
    if np.all(condition):
        return str(node.input[1])
    return None if np.any(condition) else str(node.input[2])


def _concat(node: onnx.NodeProto, links: Links) -> str | None:
    del links
    return str(node.input[0]) if len(node.input) == 1 else None


def _gather_nd(node: onnx.NodeProto, links: Links) -> str | None:
    """Every element in order."""
    indices, shape = links.constant(node.input[1]), links.shapes.get(node.input[0])
    is_whole = indices is not None and shape is not None and indices.shape[-1] == len(shape)
    if not is_whole or indices is None or shape is None or attribute(node, "batch_dims", 0):
        return None
    if math.prod(indices.shape[:-1]) != math.prod(shape) or np.any(indices < 0):
        return None
    flat = np.ravel_multi_index(tuple(np.moveaxis(indices, -1, 0)), shape, mode="clip").reshape(-1)
    return str(node.input[0]) if np.array_equal(flat, np.arange(flat.size)) else None


NEUTRAL: dict[str, Callable[[onnx.NodeProto, Links], str | None]] = {
    "Add": _besides(0.0, 0, 1),
    "Sub": _besides(0.0, 1),
    "Mul": _besides(1.0, 0, 1),
    "Div": _besides(1.0, 1),
    "Pow": _besides(1.0, 1),
    "Expand": _same_shape,
    "Tile": _same_shape,
    "Slice": _slice,
    "Pad": _pad,
    "Where": _where,
    "Concat": _concat,
    "GatherND": _gather_nd,
}
"""Operator -> the input that the node's result equals if it has its shape, or None."""
