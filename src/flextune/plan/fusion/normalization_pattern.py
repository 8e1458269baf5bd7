"""A window sum between element-wise operators on the tensor it sums: local response normalization as one kernel.

Krizhevsky, Sutskever, Hinton ("ImageNet Classification with Deep Convolutional Neural Networks", 2012, section 3.3).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Set

from flextune.lowering.operator_graph import OperatorGraph, variables_read
from flextune.lowering.operator_kinds import Kind
from flextune.plan.fusion.pattern import MAX_OPERATORS, Finder, Group
from flextune.tvm_types import RelaxVar


def window_normalization(windows: Collection[str]) -> Finder:
    """A window operator with the element-wise operators before and after it, where both read one tensor.

    before: s = x * x; w = avg_pool(s); y = x / (1 + a * w) ** b   -->   after: one kernel that reads x once
    Views in between change nothing. Without a tensor that both sides read, nothing is gained that a pooling with what
    follows it has not.
    """

    def find(graph: OperatorGraph, free: Set[int]) -> Iterator[Group]:
        for operator in graph.operators:
            if operator.index in free and operator.name in windows:
                before, after = _before(graph, operator.index, free), _after(graph, operator.index, free)
                group = {operator.index, *before, *after}
                read = _outside(graph, before, group)
                if read and read <= _outside(graph, after, group):
                    yield tuple(sorted(group))

    return find


def _before(graph: OperatorGraph, window: int, free: Set[int]) -> set[int]:
    """The operators whose values go nowhere but into the window."""
    found = {window}
    for index in range(window - 1, -1, -1):
        users = graph.users[index]
        if users and found.issuperset(users) and index not in graph.outputs and _passes(graph, index, free):
            found.add(index)
    return found - {window}


def _after(graph: OperatorGraph, window: int, free: Set[int]) -> set[int]:
    """The operators that the window's values flow into, up to the last one that all of them reach."""
    found: set[int] = set()
    head = window
    while (sink := graph.sink(head)) is not None and head not in graph.outputs:
        ahead = (*graph.between(head, sink), sink)
        fits = all(_passes(graph, i, free) and _keeps_size(graph, i, window) for i in ahead)
        if not fits or len(found) + len(ahead) > MAX_OPERATORS:
            break
        found.update(ahead)
        head = sink
    return found


def _passes(graph: OperatorGraph, index: int, free: Set[int]) -> bool:
    return index in free and graph.operators[index].kind in (Kind.ELEMENTWISE, Kind.VIEW)


def _keeps_size(graph: OperatorGraph, index: int, window: int) -> bool:
    return graph.operators[index].elements == graph.operators[window].elements


def _outside(graph: OperatorGraph, operators: Collection[int], group: Collection[int]) -> set[RelaxVar]:
    """The variables that operators read and none of the group computes."""
    inside = {graph.operators[index].variable for index in group}
    return {leaf for index in operators for leaf in variables_read(graph.operators[index].value)} - inside
