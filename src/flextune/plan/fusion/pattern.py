"""A fusion pattern as a small value, the building blocks to write one from, and the registry of them.

A pattern of one's own in a few lines (docs/fusion.md has a longer example):

>>> from flextune.plan.fusion.pattern import Pattern, epilogues, register
>>> only_residual_adds = Pattern("my-pooling", "pooling and what follows", epilogues({"nn.max_pool2d"}))
>>> register(only_residual_adds, before="producers")   # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence, Set
from dataclasses import dataclass

from flextune.errors import UsageError
from flextune.lowering.operator_graph import OperatorGraph
from flextune.lowering.operator_kinds import Kind
from flextune.plan.alternative import Alternative
from flextune.registry import nearest

Group = tuple[int, ...]
"""Indices of the operators that become one kernel, in program order; the last one gives the kernel's result."""

Finder = Callable[[OperatorGraph, Set[int]], Iterator[Group]]
"""Groups of a graph among the free operators (fewer with each group taken). What is no group is passed over."""

Preference = Callable[[OperatorGraph, Group], Alternative]
"""What a group is made of as long as nothing was measured."""

MAX_OPERATORS = 24
"""Of one kernel: beyond it nothing is gained and code grows."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """Something that fusion looks for: its groups, and what they become where nothing was measured."""

    name: str
    """For `--without NAME`."""
    description: str
    """What it fuses, in words."""
    find: Finder
    """Finds its groups among the operators that no pattern before it took."""
    prefer: Preference | None = None
    """The alternative that a group becomes without measurements; None: one kernel."""
    nested: bool = False
    """Whether the parts of its groups are what the patterns after it make of their operators."""
    joins: str | None = None
    """The pattern whose groups it joins to larger ones, with which it is switched off."""
    float32_only: bool = False
    """Whether it is for models in float32 alone."""

    def is_without(self, names: Collection[str]) -> bool:
        """Whether it is switched off by these names."""
        return self.name in names or self.joins in names


_REGISTERED: list[Pattern] = []


def register(pattern: Pattern, before: str | None = None) -> None:
    """Add a pattern: earlier ones choose first. UsageError for a name that is taken, or an unknown `before`."""
    names = [known.name for known in _REGISTERED]
    if pattern.name in names:
        raise UsageError(f"a fusion pattern {pattern.name!r} is registered already; choose another name")
    _REGISTERED.insert(len(names) if before is None else _position(before, names), pattern)


def unregister(name: str) -> None:
    """Take a pattern out again."""
    del _REGISTERED[_position(name, [known.name for known in _REGISTERED])]


def registered() -> tuple[Pattern, ...]:
    """All patterns, in the order they choose."""
    return tuple(_REGISTERED)


def _position(name: str, names: Sequence[str]) -> int:
    if name not in names:
        raise UsageError(f"unknown fusion pattern {name!r}: {nearest(name, tuple(names))}")
    return names.index(name)


def epilogues(anchors: Collection[str]) -> Finder:
    """An operator of these names with all element-wise operators its result flows into.

    before: y = conv2d(x, w); z = add(y, b); r = relu(z)   -->   after: one kernel {conv2d, add, relu}
    """

    def find(graph: OperatorGraph, free: Set[int]) -> Iterator[Group]:
        for operator in graph.operators:
            if operator.index in free and operator.name in anchors:
                yield with_epilogue(graph, operator.index, free)

    return find


def with_epilogue(graph: OperatorGraph, anchor: int, free: Set[int]) -> Group:
    """The operator and every element-wise one up to where its values leave them; shapes stay as they are."""
    shape, group, head = graph.operators[anchor].shape, [anchor], anchor
    while (sink := graph.sink(head)) is not None:
        ahead = (*graph.between(head, sink), sink)
        fits = all(i in free and is_elementwise(graph, i) and graph.operators[i].shape == shape for i in ahead)
        if not fits or head in graph.outputs or len(group) + len(ahead) > MAX_OPERATORS:
            break
        group += ahead
        head = sink
    return tuple(group)


def is_elementwise(graph: OperatorGraph, index: int) -> bool:
    """Whether an operator reads its inputs at the position that it writes."""
    return graph.operators[index].kind is Kind.ELEMENTWISE


def disjoint(graph: OperatorGraph, free: Collection[int], find: Finder) -> Iterator[Group]:
    """The groups that a finder takes one after the other: of free operators that no group before has, each with one
    result."""
    left = set(free)
    for group in find(graph, left):
        operators = tuple(sorted(set(group)))
        if len(operators) > 1 and left.issuperset(operators) and is_group(graph, operators):
            left.difference_update(operators)
            yield operators


def is_group(graph: OperatorGraph, group: Group) -> bool:
    """Whether these operators can be one kernel with one result: no value but the last one's leaves them.

    That makes them convex as well: what comes back in would have left through the last operator, and nothing in the
    group comes after it.
    """
    return graph.external_users(group) == (max(group),)
