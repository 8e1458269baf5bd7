"""Nodes in an order in which each comes after those that it reads from."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from flextune.errors import ModelError
from flextune.importing.onnx_graph import names_read


def sort_nodes(graph: onnx.GraphProto, source: str) -> None:
    """Bring the graph's nodes into topological order, in place; nodes that are in order stay as they are.

    Raises ModelError that names the nodes of a cycle, if there is one. Values that no node writes are not its concern.
    """
    nodes = list(graph.node)
    writers = {name: index for index, node in enumerate(nodes) for name in node.output if name}
    reads = [[writers[name] for name in names_read(node) if name in writers] for node in nodes]
    if all(before < index for index, needed in enumerate(reads) for before in needed):
        return
    order = _order(reads)
    if len(order) < len(nodes):
        cycle = _cycle(reads, set(range(len(nodes))) - set(order))
        path = " -> ".join(_label(nodes[index]) for index in [*cycle, cycle[0]])
        raise ModelError(f"{source} has a cycle: {path}; a model must be a graph without cycles: export it again")
    del graph.node[:]
    graph.node.extend(nodes[index] for index in order)


def _order(reads: Sequence[Sequence[int]]) -> list[int]:
    """Indices in topological order, the given order kept where it can be; those on and behind cycles are left out."""
    waiting = [len(set(needed)) for needed in reads]
    readers: list[list[int]] = [[] for _ in reads]
    for index, needed in enumerate(reads):
        for before in set(needed):
            readers[before].append(index)
    ready = [index for index in reversed(range(len(reads))) if not waiting[index]]
    order = []
    while ready:
        index = ready.pop()
        order.append(index)
        for reader in reversed(readers[index]):
            waiting[reader] -= 1
            if not waiting[reader]:
                ready.append(reader)
    return order


def _cycle(reads: Sequence[Sequence[int]], left: set[int]) -> list[int]:
    """One cycle among the nodes `left` over by sorting, each before its reader."""
    path: list[int] = []
    index = min(left)
    while index not in path:
        path.append(index)
        index = next(before for before in reads[index] if before in left)
    cycle = path[path.index(index) :][::-1]
    first = cycle.index(min(cycle))
    return [*cycle[first:], *cycle[:first]]


def _label(node: onnx.NodeProto) -> str:
    return f"{node.op_type} {node.name or repr(node.output[0])}"
