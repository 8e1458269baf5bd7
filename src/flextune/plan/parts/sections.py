"""Where a model can be handed from one runtime to another with least ado: sections of few values in and out.

Nodes in their order are a line; between two of them lie all values that are written before and read after. Where that
is a single one, the model can be cut: a part is then a run of sections, which is convex by itself.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from flextune.plan.parts.graph import PartedGraph
from flextune.plan.parts.operators import PRODUCTS


@dataclass(frozen=True, slots=True)
class Section:
    """A run of nodes, as indices, and about how many operations they are."""

    nodes: tuple[int, ...]
    work: float

    def joined(self, other: Section) -> Section:
        """With the section that follows."""
        return Section(self.nodes + other.nodes, self.work + other.work)


def sections_of(graph: PartedGraph, most: int) -> tuple[Section, ...]:
    """The model as at most so many sections, of about equal work where its shape allows."""
    reads = [set(graph.inputs_of_node(node)) for node in graph.nodes]
    borders = _borders(reads, [tuple(filter(None, node.output)) for node in graph.nodes])
    sections = [
        Section(tuple(range(first, last)), sum(_work(graph, index) for index in range(first, last)))
        for first, last in zip((0, *borders), (*borders, len(graph.nodes)), strict=True)
    ]
    while len(sections) > max(1, most):
        place = min(range(len(sections) - 1), key=lambda at: sections[at].work + sections[at + 1].work)
        sections[place : place + 2] = [sections[place].joined(sections[place + 1])]
    return tuple(sections)


def _borders(reads: Sequence[Collection[str]], writes: Sequence[Collection[str]]) -> list[int]:
    """The nodes before which one value is all that later nodes need of earlier ones.

    Inputs of the model are at hand everywhere, and its outputs are written where they are, so neither crosses.
    """
    last = {name: index for index, names in enumerate(reads) for name in names}
    alive: set[str] = set()
    borders: list[int] = []
    for index, names in enumerate(writes):
        if index and len(alive) == 1:
            borders.append(index)
        alive = {name for name in (*alive, *names) if last.get(name, -1) > index}
    return borders


def _work(graph: PartedGraph, index: int) -> float:
    """Elements that a node writes; of a product, times the operations for each."""
    node = graph.nodes[index]
    specs = [graph.spec(name) for name in node.output if name]
    elements = float(sum(math.prod(spec.shape) for spec in specs if spec.is_static))
    if node.op_type not in PRODUCTS:
        return elements
    weights = [math.prod(graph.constants[name].dims) for name in node.input if name in graph.constants]
    columns = max(1, specs[0].shape[1 if "Conv" in node.op_type else -1]) if specs and len(specs[0].shape) > 1 else 1
    return elements * max(1.0, max(weights, default=1) / columns)
