"""A fusion plan: which operators of a model become one kernel, and which pattern said so."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import flextune.plan.fusion.patterns  # noqa: F401  registers the patterns that flextune comes with
from flextune.errors import UsageError
from flextune.lowering.operator_graph import OperatorGraph
from flextune.lowering.operator_kinds import Kind
from flextune.plan.alternative import FUSED, Alternative
from flextune.plan.fusion.live_bytes import peak_bytes
from flextune.plan.fusion.merged import MERGED_PRODUCTS, mergeable
from flextune.plan.fusion.pattern import Group, Pattern, disjoint, registered
from flextune.registry import nearest

SINGLE = "single"
"""The pattern of a kernel of one operator."""


@dataclass(frozen=True, slots=True)
class FusionGroup:
    """Operators that become one kernel, in program order, and the name of the pattern that found them.

    A group of merged products has a result for each of its `branches`, which read one tensor and nothing of each other.
    """

    pattern: str
    operators: Group
    branches: tuple[Group, ...] = ()

    @property
    def results(self) -> tuple[int, ...]:
        """The operators whose values leave the group: the last one, or the last one of each branch."""
        return tuple(branch[-1] for branch in self.branches) or self.operators[-1:]

    @property
    def sink(self) -> int:
        """The operator in whose place the group is computed: the first one whose value leaves it."""
        return self.results[0]

    def named(self, graph: OperatorGraph, name: str) -> Group:
        """Its operators of this name."""
        return tuple(index for index in self.operators if graph.operators[index].name == name)


@dataclass(frozen=True, slots=True, eq=False)
class FusionPlan:
    """Disjoint groups over a graph, by sink. Views and what is no tensor operator are in no group."""

    graph: OperatorGraph
    groups: tuple[FusionGroup, ...]


def make_plan(graph: OperatorGraph, without: Collection[str] = ()) -> FusionPlan:
    """Each pattern in turn takes the groups it finds among the operators that are left; every other operator is alone.

    Then groups that are predicted to be faster as one merged product become one. `without` switches patterns, and the
    merging (`merged-products`), off by name; UsageError for an unknown one.
    """
    patterns = [pattern for pattern in registered() if not pattern.is_without(checked_names(without))]
    fusible = [operator.index for operator in graph.operators if operator.kind is not Kind.OPAQUE]
    decided = graph.for_decisions
    groups = _groups(decided, fusible, patterns)
    return FusionPlan(graph, groups if MERGED_PRODUCTS in without else _merged(decided, groups))


def parts(graph: OperatorGraph, group: FusionGroup) -> tuple[FusionGroup, ...]:
    """The group taken apart: its first anchor alone, and the rest as the generic rule groups it.

    before: {conv2d, add, relu}   -->   after: {conv2d}, {add, relu}
    A group of a nested pattern is taken apart by the patterns after that one.
    """
    if (later := _later_patterns(group)) is not None:
        return _groups(graph, group.operators, later)
    anchors = [i for i in group.operators if graph.operators[i].kind in (Kind.CONTRACTION, Kind.REDUCTION, Kind.CONCAT)]
    if not anchors:
        return tuple(FusionGroup(SINGLE, (index,)) for index in group.operators)
    rest = [index for index in group.operators if index not in anchors]
    generic = [pattern for pattern in registered() if pattern.name == "producers"]
    together = _groups(graph, rest, generic)
    left = set(group.operators) - {index for each in together for index in each.operators}
    alone = tuple(FusionGroup(SINGLE, (index,)) for index in left)
    return tuple(sorted((*alone, *together), key=lambda part: part.sink))


def _merged(graph: OperatorGraph, groups: tuple[FusionGroup, ...]) -> tuple[FusionGroup, ...]:
    """The groups with merged ones among them, as far as these keep no more memory alive: their slices stay views."""
    limit = peak_bytes(graph, groups)
    for branches in mergeable(graph, [group.operators for group in groups]):
        operators = tuple(sorted(index for branch in branches for index in branch))
        alone = (group for group in groups if group.operators not in branches)
        trial = sorted((*alone, FusionGroup(MERGED_PRODUCTS, operators, branches)), key=lambda group: group.sink)
        if peak_bytes(graph, trial) <= limit:
            groups = tuple(trial)
    return groups


def preferred(graph: OperatorGraph, group: FusionGroup) -> Alternative:
    """The alternative that the group's pattern prefers; one kernel where it says nothing."""
    found = next((pattern for pattern in registered() if pattern.name == group.pattern), None)
    return found.prefer(graph, group.operators) if found is not None and found.prefer is not None else FUSED


def _later_patterns(group: FusionGroup) -> tuple[Pattern, ...] | None:
    known = registered()
    place = next((n for n, pattern in enumerate(known) if pattern.name == group.pattern and pattern.nested), None)
    return None if place is None else known[place + 1 :]


def plan_passes() -> tuple[str, ...]:
    """What can be switched off when a plan is made: patterns, in the order they choose, and the merging of products."""
    return (*(pattern.name for pattern in registered()), MERGED_PRODUCTS)


def checked_names(without: Collection[str]) -> frozenset[str]:
    """The names of passes to leave out; UsageError naming the nearest ones when one is unknown."""
    names = plan_passes()
    for name in without:
        if name not in names:
            raise UsageError(f"unknown pass {name!r}: {nearest(name, names)}")
    return frozenset(without)


def _groups(graph: OperatorGraph, fusible: Iterable[int], patterns: Iterable[Pattern]) -> tuple[FusionGroup, ...]:
    free, found = set(fusible), list[FusionGroup]()
    for pattern in patterns:
        groups = tuple(disjoint(graph, free, pattern.find))
        free.difference_update(*groups)
        found += [FusionGroup(pattern.name, operators) for operators in groups]
    found += [FusionGroup(SINGLE, (index,)) for index in free if graph.operators[index].kind is not Kind.VIEW]
    return tuple(sorted(found, key=lambda group: group.sink))
