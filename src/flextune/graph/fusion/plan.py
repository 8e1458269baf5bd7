"""A fusion plan: which operators of a model become one kernel, and which pattern said so."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import flextune.graph.fusion.patterns  # noqa: F401  registers the patterns that flextune comes with
from flextune.errors import UsageError
from flextune.graph.fusion.kinds import Kind
from flextune.graph.fusion.operator_graph import OperatorGraph
from flextune.graph.fusion.pattern import Group, Pattern, is_group, registered
from flextune.registry import nearest

SINGLE = "single"
"""The pattern of a kernel of one operator."""


@dataclass(frozen=True, slots=True)
class FusionGroup:
    """Operators that become one kernel, in program order, and the name of the pattern that found them."""

    pattern: str
    operators: Group

    @property
    def sink(self) -> int:
        """The operator whose value is the kernel's result."""
        return self.operators[-1]


@dataclass(frozen=True, slots=True, eq=False)
class FusionPlan:
    """Disjoint groups over a graph, by sink. Views and what is no tensor operator are in no group."""

    graph: OperatorGraph
    groups: tuple[FusionGroup, ...]


def make_plan(graph: OperatorGraph, without: Collection[str] = ()) -> FusionPlan:
    """Each pattern in turn takes the groups it finds among the operators that are left; every other operator is alone.

    `without` switches patterns off by name; UsageError for an unknown one.
    """
    patterns = [pattern for pattern in registered() if pattern.name not in checked_names(without)]
    fusible = [operator.index for operator in graph.operators if operator.kind is not Kind.OPAQUE]
    return FusionPlan(graph, _groups(graph, fusible, patterns))


def parts(graph: OperatorGraph, group: FusionGroup) -> tuple[FusionGroup, ...]:
    """The group taken apart: its first anchor alone, and the rest as the generic rule groups it.

    before: {conv2d, add, relu}   -->   after: {conv2d}, {add, relu}
    """
    anchors = [i for i in group.operators if graph.operators[i].kind in (Kind.CONTRACTION, Kind.REDUCTION, Kind.CONCAT)]
    if not anchors:
        return tuple(FusionGroup(SINGLE, (index,)) for index in group.operators)
    rest = [index for index in group.operators if index not in anchors]
    generic = [pattern for pattern in registered() if pattern.name == "producers"]
    together = _groups(graph, rest, generic)
    left = set(group.operators) - {index for each in together for index in each.operators}
    alone = tuple(FusionGroup(SINGLE, (index,)) for index in left)
    return tuple(sorted((*alone, *together), key=lambda part: part.sink))


def checked_names(without: Collection[str]) -> frozenset[str]:
    """The names of patterns to leave out; UsageError naming the nearest ones when one is unknown."""
    names = [pattern.name for pattern in registered()]
    for name in without:
        if name not in names:
            raise UsageError(f"unknown pass {name!r}: {nearest(name, tuple(names))}")
    return frozenset(without)


def _groups(graph: OperatorGraph, fusible: Iterable[int], patterns: Iterable[Pattern]) -> tuple[FusionGroup, ...]:
    free, found = set(fusible), []
    for pattern in patterns:
        for group in pattern.find(graph, free):
            operators = tuple(sorted(set(group)))
            if len(operators) > 1 and free.issuperset(operators) and is_group(graph, operators):
                free.difference_update(operators)
                found.append(FusionGroup(pattern.name, operators))
    found += [FusionGroup(SINGLE, (index,)) for index in free if graph.operators[index].kind is not Kind.VIEW]
    return tuple(sorted(found, key=lambda group: group.sink))
