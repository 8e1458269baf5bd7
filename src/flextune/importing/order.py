"""Nodes in an order in which each comes after those that it reads from."""

from __future__ import annotations

from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter

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
    try:
        order = _order(reads)
    except CycleError as error:
        path = " -> ".join(_label(nodes[index]) for index in _from_first(error.args[1]))
        raise ModelError(
            f"{source} has a cycle: {path}; a model must be a graph without cycles: export it again"
        ) from None
    del graph.node[:]
    graph.node.extend(nodes[index] for index in order)


def _order(reads: Sequence[Sequence[int]]) -> list[int]:
    """Indices in topological order. CycleError if there is none.

    A node comes right after the last one that it waited for where it can, as in the file: level by level
    (`TopologicalSorter.static_order`), a model would keep more tensors alive at one time.
    """
    sorter = TopologicalSorter(dict(enumerate(reads)))
    sorter.prepare()
    order: list[int] = []
    ready: list[int] = []
    while sorter.is_active():
        ready += sorted(sorter.get_ready(), reverse=True)
        order.append(ready.pop())
        sorter.done(order[-1])
    return order


def _from_first(cycle: Sequence[int]) -> list[int]:
    """A closed path, each node before its reader, turned so that it begins and ends with the node first in the file."""
    start = cycle.index(min(cycle))
    return [*cycle[start:-1], *cycle[: start + 1]] if start else list(cycle)


def _label(node: onnx.NodeProto) -> str:
    return f"{node.op_type} {node.name or repr(node.output[0])}"
