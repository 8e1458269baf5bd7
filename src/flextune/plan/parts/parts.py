"""A model as parts that run one after the other: ours as partitions or procedures, what is left for another runtime."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx

from flextune.errors import ModelError
from flextune.importing.model import Model
from flextune.importing.operators import is_procedure
from flextune.importing.values import ValueSpec
from flextune.plan.partition import Partition
from flextune.plan.parts.cutting import Cut, Side, cuts_of
from flextune.plan.parts.graph import Inference, PartedGraph, parted_graph
from flextune.plan.parts.operators import PRODUCTS
from flextune.plan.parts.sections import Section, sections_of
from flextune.plan.parts.support import Trial, culprits, node_label, static_reasons
from flextune.plan.parts.words import OURS

Lower = Callable[[Model], Partition]
"""Lowers a model that is wholly ours; ModelError where it is not."""

LEAST_BYTES = 1 << 18
"""What a part of ours without products must move to be worth it: a change of runtime takes as long as such a copy."""

_MOST_LABELS = 4

_TOO_SMALL = "too little work to change the runtime for it"


@dataclass(frozen=True, slots=True, eq=False)
class ModelPart:
    """Some nodes of a model that run as a whole."""

    model: Model
    """They as a model of their own."""
    partition: Partition | None
    """They lowered, where they are ours and programs over tensors; None else."""
    nodes: tuple[int, ...] = ()
    """Which nodes of the graph they are; none where the model was not cut."""

    outputs: tuple[ValueSpec, ...] = ()
    """What is known of its outputs, where no program over tensors gives them."""
    why: str = ""
    """Why another runtime has it, where that is not for its nodes' sake."""
    are_procedures: bool = False
    """Whether its nodes are functions in C."""

    @property
    def is_own(self) -> bool:
        """Whether it is one program over tensors."""
        return self.partition is not None


@dataclass(frozen=True, slots=True, eq=False)
class ModelParts:
    """A model, and who runs what of it."""

    model: Model
    parts: tuple[ModelPart, ...]
    """In an order in which they can run."""
    graph: PartedGraph | None = None
    """What was cut; None for a model that is wholly ours."""
    reasons: Mapping[int, str] = field(default_factory=dict)
    """Node of the graph -> why it is not ours."""

    @property
    def whole(self) -> Partition | None:
        """The lowered model, if all of it is ours."""
        return self.parts[0].partition if len(self.parts) == 1 else None

    @property
    def own(self) -> tuple[Partition, ...]:
        """What is ours of it, lowered."""
        return tuple(part.partition for part in self.parts if part.partition is not None)

    @property
    def tuned(self) -> tuple[Partition, ...]:
        """Those of ours that are tuned: in a model without ranges not those whose sizes come with values."""
        return tuple(each for each in self.own if self.model.dims or not each.model.dims)

    @property
    def needs_other(self) -> bool:
        """Whether anything is left for another runtime."""
        return not all(part.is_own or part.are_procedures for part in self.parts)

    def described(self, part: ModelPart, other: str) -> str:
        """A part in words: who runs it (`other` is the runtime of what is not ours), how much it is, and why."""
        count = len(part.nodes) or len(self.model.proto.graph.node)
        nodes = f"{count} node{'s' * (count != 1)}"
        if part.is_own:
            return f"{OURS}: {nodes}"
        if part.are_procedures:
            return f"{OURS}: {nodes}; procedures: {_listed(list(map(node_label, part.model.proto.graph.node)))}"
        return f"{other}: {nodes}; {part.why or '; '.join(self.why_not(part))}"

    def why_not(self, part: ModelPart) -> tuple[str, ...]:
        """Why nodes of a part are not ours, one text for each reason."""
        found: dict[str, list[str]] = {}
        for label, _, why in self.given_away():
            found.setdefault(why, []).append(label)
        inside = {node_label(node) for node in part.model.proto.graph.node}
        named = {why: [label for label in labels if label in inside] for why, labels in found.items()}
        return tuple(f"{_listed(labels)}: {why}" for why, labels in named.items() if labels)

    def given_away(self) -> Iterator[tuple[str, onnx.NodeProto, str]]:
        """Every node that is not ours, by its label, with the reason."""
        if self.graph is not None:
            for index, why in sorted(self.reasons.items()):
                yield node_label(self.graph.nodes[index]), self.graph.nodes[index], why


class ModelSplitter:
    """Splits one model, and again when more of it turns out not to be ours; what was lowered once is kept."""

    def __init__(self, model: Model, lower: Lower, inference: Inference, why_no_procedure: Trial) -> None:
        """`why_no_procedure` says of a model of one procedure why it cannot be had as one; it is empty where it can."""
        self.lower = lower
        self._model = model
        self._inference = inference
        self._why_no_procedure = why_no_procedure
        self._graph: PartedGraph | None = None
        self._reasons: dict[int, str] = {}
        self._procedures: frozenset[int] = frozenset()
        self._lowered: dict[tuple[int, ...], Partition] = {}

    def give_up(self, part: ModelPart, why: str, trial: Trial) -> ModelParts:
        """Split again, because a part of ours cannot be built, as `why` says; `trial` tells what can be."""
        graph = self._parted()
        nodes = part.nodes or tuple(range(len(graph.nodes)))
        self._reasons |= culprits(graph, nodes, why, trial)
        return self.split()

    def give_away(self, nodes: Collection[int], why: str) -> ModelParts:
        """Split so that these nodes are another runtime's, because `why`, and as before those that are not ours.

        Later splits are as if this had not been asked.
        """
        self._parted()
        before = dict(self._reasons)
        self._reasons |= {index: why for index in nodes if index not in before}
        try:
            return self.split()
        finally:
            self._reasons = before

    def sections(self, most: int) -> tuple[ModelPart, ...]:
        """The model as a line of at most so many parts, of about equal work, that all are another runtime's."""
        graph = self._parted()
        return tuple(self._as_other(graph, section, number) for number, section in enumerate(sections_of(graph, most)))

    def lowered(self, part: ModelPart) -> Partition:
        """The part as it is when it is ours. ModelError where it cannot be."""
        if part.nodes not in self._lowered:
            self._lowered[part.nodes] = self.lower(part.model)
        return self._lowered[part.nodes]

    def indices(self, values: Collection[str]) -> tuple[int, ...] | None:
        """The nodes that write these values; None where the graph has not got all of them."""
        writers = {name: index for index, node in enumerate(self._parted().nodes) for name in node.output if name}
        return tuple(writers[name] for name in values) if writers.keys() >= set(values) else None

    def values(self, nodes: Collection[int]) -> tuple[str, ...]:
        """What nodes are known by: the first value that each writes."""
        return tuple(next(filter(None, self._parted().nodes[index].output)) for index in sorted(nodes))

    def labels(self, nodes: Sequence[int]) -> str:
        """The first and the last of nodes, by their labels."""
        found = self._parted().nodes
        first, last = node_label(found[nodes[0]]), node_label(found[nodes[-1]])
        return first if len(nodes) == 1 else f"{first} to {last}"

    def _as_other(self, graph: PartedGraph, section: Section, number: int) -> ModelPart:
        model = graph.part(section.nodes, f"{self._model.name}_section{number}")
        return ModelPart(model, None, section.nodes, tuple(map(graph.spec, model.outputs)))

    def _parted(self) -> PartedGraph:
        if self._graph is None:
            self._graph = parted_graph(self._model, self._inference)
            found = static_reasons(self._graph)
            self._procedures = frozenset(index for index in found if self._is_procedure(self._graph, index))
            self._reasons = {index: why for index, why in found.items() if index not in self._procedures}
        return self._graph

    def _is_procedure(self, graph: PartedGraph, index: int) -> bool:
        node = graph.nodes[index]
        if not is_procedure(node) or not all(graph.spec(name).is_numeric for name in graph.inputs_of_node(node)):
            return False
        return not self._why_no_procedure(graph.part([index], "node"))

    def split(self) -> ModelParts:
        """The model as few parts as its graph allows."""
        graph = self._parted()
        while True:
            cuts = self._cuts(graph)
            parts = [self._part(graph, cut, number) for number, cut in enumerate(cuts)]
            if None not in parts:
                found = tuple(part for part in parts if part is not None)
                return ModelParts(self._model, found, graph, dict(self._reasons))

    def _cuts(self, graph: PartedGraph) -> tuple[Cut, ...]:
        """The parts; those of ours that are too small to be worth it are given up where they may join others."""
        reads = graph.reads
        while True:
            cuts = cuts_of(reads, [self._side(index) for index in range(len(graph.nodes))])
            asked = [cut for cut in cuts if cut.side is Side.OWN and len(cuts) > 1 and not _is_worth_it(graph, cut)]
            small = [cut for cut in asked if not self._procedures or self._is_beside_others(reads, cut)]
            if not small:
                return cuts
            self._reasons |= {index: _TOO_SMALL for cut in small for index in cut.nodes}

    def _side(self, index: int) -> Side:
        if index in self._reasons:
            return Side.OTHER
        return Side.PROCEDURE if index in self._procedures else Side.OWN

    def _is_beside_others(self, reads: Sequence[Collection[int]], cut: Cut) -> bool:
        """Whether another runtime gives or takes a value of this part."""
        inside = set(cut.nodes)
        before = {source for index in cut.nodes for source in reads[index]}
        after = {index for index, sources in enumerate(reads) if not inside.isdisjoint(sources)}
        return not self._reasons.keys().isdisjoint(before | after)

    def _part(self, graph: PartedGraph, cut: Cut, number: int) -> ModelPart | None:
        """None where a part turns out not to be ours; the reasons say more then."""
        model = graph.part(cut.nodes, f"{self._model.name}_part{number}")
        if cut.side is not Side.OWN:
            outputs = tuple(map(graph.spec, model.outputs))
            return ModelPart(model, None, cut.nodes, outputs, are_procedures=cut.side is Side.PROCEDURE)
        try:
            lowered = self.lowered(ModelPart(model, None, cut.nodes))
        except ModelError as error:
            self._reasons |= culprits(graph, cut.nodes, str(error), self._why_not)
            return None
        return ModelPart(model, lowered, cut.nodes)

    def _why_not(self, model: Model) -> str:
        try:
            self.lower(model)
        except ModelError as error:
            return str(error)
        return ""


def _is_worth_it(graph: PartedGraph, cut: Cut) -> bool:
    if any(graph.nodes[index].op_type in PRODUCTS for index in cut.nodes):
        return True
    specs = [graph.spec(name) for index in cut.nodes for name in graph.nodes[index].output if name]
    return sum(_elements(graph, spec) * np.dtype(spec.dtype).itemsize for spec in specs) >= LEAST_BYTES


def _elements(graph: PartedGraph, spec: ValueSpec) -> int:
    """About how many there are."""
    if graph.sizes is None or not spec.sizes:
        return math.prod(spec.shape)
    return math.prod(map(graph.sizes.typical, spec.sizes))


def _listed(labels: Sequence[str]) -> str:
    more = len(labels) - _MOST_LABELS
    return ", ".join(labels[:_MOST_LABELS]) + (f" and {more} more" if more > 0 else "")
