"""Winograd among the alternatives of a group: the same kernel, its convolution computed by F(2 x 2) or F(4 x 4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flextune.graph.algorithms.winograd import convolution_facts, winograd_call, winograd_variants
from flextune.graph.fusion.alternatives import Alternative, AlternativeRule
from flextune.graph.fusion.emit import Emitter
from flextune.graph.fusion.operator_graph import OperatorGraph
from flextune.graph.fusion.plan import FusionGroup


def find_winograd(graph: OperatorGraph, group: FusionGroup) -> Iterator[Alternative]:
    """One alternative per variant that may pay; none for a group with no or several convolutions."""
    found = [(i, facts) for i in group.operators if (facts := convolution_facts(graph.operators[i].value)) is not None]
    if len(found) == 1:
        index, facts = found[0]
        for outputs in winograd_variants(facts):
            yield _alternative(group, index, graph.operators[index].value, outputs)


def _alternative(group: FusionGroup, index: int, convolution: Any, outputs: int) -> Alternative:
    def emit(emitter: Emitter) -> None:
        emitter.group(group.operators, {index: winograd_call(emitter.builder, convolution, outputs)})

    return Alternative(f"winograd{outputs}", emit)


WINOGRAD = AlternativeRule(
    "winograd",
    "3x3 convolutions of stride 1 by minimal filtering: fewer multiplications, larger weights, rounding errors a few "
    "times those of the direct form; an inf or nan in the data reaches all outputs of its tile",
    find_winograd,
)
