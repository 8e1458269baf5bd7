"""The alternatives of a group (one kernel, its parts, or another algorithm), and the kernels of each of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import flextune.plan.fusion.algorithms  # noqa: F401  registers the algorithms that flextune comes with
from flextune.lowering.emit import Emitter
from flextune.lowering.operator_graph import OperatorGraph
from flextune.plan.alternative import FUSED, MERGED, PARTS, SEPARATE, Alternative, Division
from flextune.plan.fusion.algorithm import algorithm_of, registered_algorithms
from flextune.plan.fusion.merged import emit_merged
from flextune.plan.fusion.pattern import Group
from flextune.plan.fusion.plan import FusionGroup, parts, preferred


def alternatives(graph: OperatorGraph, group: FusionGroup, without: Collection[str] = ()) -> tuple[Alternative, ...]:
    """Every alternative of a group, the one predicted to be the fastest first: mostly one kernel.

    `without` names algorithms to do without, or `parts`.
    """
    if group.branches:
        return MERGED, SEPARATE
    found = [FUSED]
    if str(PARTS) not in without and len(group.operators) > 1 and len(parts(graph, group)) > 1:
        found.append(PARTS)
    for algorithm in registered_algorithms():
        if algorithm.name not in without:
            found += algorithm.find(graph, group)
    first = preferred(graph, group)
    return tuple(sorted(found, key=lambda alternative: alternative != first))


def emit_alternative(emitter: Emitter, group: FusionGroup, alternative: Alternative) -> None:
    """Write the kernels of an alternative of a group; the emitter knows the values of the group's results then."""
    match alternative.division:
        case Division.FUSED:
            instead = algorithm_of(alternative).rewrite(emitter, group, alternative) if alternative.algorithm else None
            emitter.group(group.operators, instead)
        case Division.PARTS:
            _emit_each(emitter, (part.operators for part in parts(emitter.graph.for_decisions, group)))
        case Division.MERGED:
            emit_merged(group.branches, emitter)
        case Division.SEPARATE:
            _emit_each(emitter, group.branches)


def _emit_each(emitter: Emitter, kernels: Iterable[Group]) -> None:
    for operators in kernels:
        emitter.group(operators)
