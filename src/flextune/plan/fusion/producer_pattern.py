"""The generic producer-consumer rule: what moves or maps elements goes into what reads it."""

from __future__ import annotations

from collections.abc import Iterator, Set

from flextune.lowering.operator_graph import OperatorGraph
from flextune.lowering.operator_kinds import Kind
from flextune.plan.fusion.pattern import MAX_OPERATORS, Group, with_epilogue

ROW_REDUCTIONS = frozenset(
    {"max", "mean", "min", "nn.layer_norm", "nn.log_softmax", "nn.rms_norm", "nn.softmax", "std", "sum", "variance"}
)
"""Read each element of their input once or a few times; a window of a pooling would compute its producer many times."""


_FLOWING = (Kind.ELEMENTWISE, Kind.INJECTIVE, Kind.REDUCTION, Kind.VIEW)


def producer_consumer(graph: OperatorGraph, free: Set[int]) -> Iterator[Group]:
    """Element-wise and injective operators with the one they all flow into, up to a reduction of rows.

    The same freedom as TVM's own fusion has (Chen et al., OSDI 2018, section 3: injective operators fuse with each
    other, and into a reduction), found backwards from the last operator so that all branches into it are seen.
    """
    home: dict[int, int] = {}
    members: dict[int, set[int]] = {}
    for operator in reversed(graph.operators):
        index = operator.index
        if index not in free or operator.kind not in _FLOWING:
            continue
        sink = graph.sink(index)
        target = home.get(sink) if sink is not None else None
        if sink is not None and target is not None and _flows(graph, index, sink, home, target):
            home[index] = target
            members[target].add(index)
        elif operator.kind is not Kind.VIEW:
            home[index] = index
            members[index] = {index}
    for group in members.values():
        kept = tuple(_without_leading_views(graph, group))
        if len(kept) > 1:
            yield kept


def row_reductions(graph: OperatorGraph, free: Set[int]) -> Iterator[Group]:
    """A reduction of rows with its element-wise producers and consumers: layer norm after a residual sum, softmax."""
    for operator in graph.operators:
        if operator.index in free and operator.name in ROW_REDUCTIONS:
            group = set(with_epilogue(graph, operator.index, free))
            group |= set(_producers(graph, operator.index, free))
            if len(group) > 1:
                yield tuple(sorted(group))


def _producers(graph: OperatorGraph, reduction: int, free: Set[int]) -> Iterator[int]:
    found = {reduction}
    for index in range(reduction - 1, -1, -1):
        operator = graph.operators[index]
        if len(found) == MAX_OPERATORS or index not in free or operator.kind is not Kind.ELEMENTWISE:
            continue
        users = graph.users[index]
        if users and index not in graph.outputs and found.issuperset(users):
            found.add(index)
            yield index


def _without_leading_views(graph: OperatorGraph, group: Set[int]) -> Iterator[int]:
    """A view of what comes from outside costs nothing where it is, outside."""
    kept: set[int] = set()
    for index in sorted(group):
        operator = graph.operators[index]
        if operator.kind is not Kind.VIEW or kept.intersection(operator.inputs):
            kept.add(index)
            yield index


def _flows(graph: OperatorGraph, index: int, sink: int, home: dict[int, int], target: int) -> bool:
    operator, into = graph.operators[index], graph.operators[sink]
    if index in graph.outputs or operator.kind is Kind.REDUCTION:
        return False
    if into.kind is Kind.REDUCTION and (into.name not in ROW_REDUCTIONS or operator.kind is not Kind.ELEMENTWISE):
        return False
    return all(home.get(other) == target for other in graph.between(index, sink))
