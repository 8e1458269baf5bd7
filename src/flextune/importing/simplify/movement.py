"""Chains of nodes that only move data, made as short as they can be.

Everything that keeps the order of elements (`Squeeze`, `Unsqueeze`, `Flatten`, transposes that move axes of size one)
is a `Reshape`; neighbouring reshapes are one, neighbouring transposes are one, and what cancels is gone.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from flextune.importing.onnx_graph import OnnxGraph, attribute, nested_graphs
from flextune.importing.simplify.links import Links, Shape, int64, remove_unused

RESHAPES = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Flatten"})


def plain_movement(graph: OnnxGraph) -> None:
    """Compose reshapes and transposes.

    before: y = Reshape(Transpose(Reshape(Transpose(x))))   -->   after: y = Transpose(x)
    """
    if any(True for node in graph.nodes for _ in nested_graphs(node)):
        return
    mover = _Mover(Links.of(graph))
    for node in graph.nodes:
        mover.take(node)
    graph.nodes = mover.nodes
    remove_unused(graph)


class _Mover:
    """Rewrites node after node; what it has written is in `nodes`, in the shortest form."""

    def __init__(self, links: Links) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self._graph = links.graph
        self._shapes = links.shapes
        self._outputs = links.graph.output_names()
        self._writers: dict[str, onnx.NodeProto] = {}
        self._same: dict[str, str] = {}  # value -> an equal one that is written already

    def take(self, node: onnx.NodeProto) -> None:
        for position, name in enumerate(node.input):
            node.input[position] = self._same.get(name, name)
        result = node.output[0]
        source, shape = node.input[0] if node.input else "", self._shapes.get(result)
        if source not in self._shapes or shape is None or 0 in shape or node.domain not in ("", "ai.onnx"):
            self._write(node)
        elif node.op_type in RESHAPES:
            self._finish(self._reshaped(source, shape, result), node)
        elif node.op_type == "Transpose":
            rank = len(shape)
            perm = attribute(node, "perm", tuple(reversed(range(rank))))
            self._finish(self._transposed(source, perm, result), node)
        else:
            self._write(node)

    def _finish(self, value: str, node: onnx.NodeProto) -> None:
        """`value` stands for the node's result from now on; where a model's output has that name, it keeps it."""
        result = node.output[0]
        if value == result:
            return
        if result in self._outputs:
            self._write(onnx.helper.make_node("Identity", [value], [result], name=node.name))
        else:
            self._same[result] = value

    def _reshaped(self, source: str, shape: Shape, result: str) -> str:
        writer = self._writers.get(source)
        if writer is not None and writer.op_type == "Reshape":
            source = writer.input[0]
        if self._shapes[source] == shape:
            return source
        wanted = int64(self._graph, f"{result}_shape", list(shape))
        return self._emit("Reshape", [source, wanted], shape, result)

    def _transposed(self, source: str, perm: Sequence[int], result: str) -> str:
        shape = self._shapes[source]
        target = tuple(shape[axis] for axis in perm)
        writer = self._writers.get(source)
        if writer is not None and writer.op_type == "Transpose":
            before = attribute(writer, "perm", (0,))
            return self._transposed(writer.input[0], [before[axis] for axis in perm], result)
        if _keeps_order(shape, perm):
            return self._reshaped(source, target, result)
        if writer is not None and writer.op_type == "Reshape":
            inner = self._shapes[writer.input[0]]
            if [size for size in inner if size != 1] == [size for size in shape if size != 1]:
                moved = self._transposed(writer.input[0], _perm_without_units(inner, shape, perm), f"{result}_moved")
                return self._reshaped(moved, target, result)
        return self._emit("Transpose", [source], target, result, perm=list(perm))

    def _emit(self, operator: str, inputs: list[str], shape: Shape, result: str, **attributes: list[int]) -> str:
        """A new node; it writes `result` where that is still free."""
        name = result if result not in self._writers and result in self._shapes else self._graph.fresh_name(result)
        while name in self._writers:
            name += "_"
        self._write(onnx.helper.make_node(operator, inputs, [name], name=name, **attributes))
        self._shapes[name] = shape
        return name

    def _write(self, node: onnx.NodeProto) -> None:
        self.nodes.append(node)
        self._writers.update(dict.fromkeys((name for name in node.output if name), node))


def _keeps_order(shape: Shape, perm: Sequence[int]) -> bool:
    """Whether the transpose only moves axes of size one."""
    moved = [axis for axis in perm if shape[axis] != 1]
    return moved == sorted(moved)


def _perm_without_units(inner: Shape, shape: Shape, perm: Sequence[int]) -> list[int]:
    """The permutation of `inner` that orders its larger axes as `perm` does those of `shape`; units stay in place."""
    places = [axis for axis, size in enumerate(inner) if size != 1]
    number = {axis: index for index, axis in enumerate(axis for axis, size in enumerate(shape) if size != 1)}
    order = iter([places[number[axis]] for axis in perm if shape[axis] != 1])
    return [axis if size == 1 else next(order) for axis, size in enumerate(inner)]
