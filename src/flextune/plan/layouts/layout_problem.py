"""The layouts of a model as a network of costs: groups choose, tensors hold every layout that somebody reads.

A tensor is a variable of its own (the layout it is written in, and the set of layouts it is brought into), so a
conversion that several groups need is paid for once, and every cost is between two variables at most.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import tvm

from flextune.lowering.layout import NHWC, Layout
from flextune.lowering.operator_graph import tensor_type
from flextune.plan.fusion.plan import FusionPlan
from flextune.plan.layouts.group_layouts import GroupLayouts, group_layouts
from flextune.plan.layouts.layout_assignment import LayoutAssignment, LayoutPair
from flextune.plan.layouts.minimise import CostNetwork, Costs, minimise
from flextune.tvm_types import RelaxVar

GroupCost = Callable[[int, LayoutPair], float]
"""Seconds of the group at this place of the plan in these layouts."""

ConversionCost = Callable[[int], float]
"""Seconds to bring a tensor of so many bytes from one layout into another."""


@dataclass(frozen=True, eq=False)
class LayoutProblem:
    """Which groups of a plan have a choice. Whatever else reads or writes a tensor does so in NHWC."""

    plan: FusionPlan
    choices: tuple[GroupLayouts, ...]

    @classmethod
    def of(cls, plan: FusionPlan, layouts: Sequence[Layout]) -> LayoutProblem:
        """All choices among these layouts, NHWC one of them."""
        found = (group_layouts(plan.graph, place, group, layouts) for place, group in enumerate(plan.groups))
        return cls(plan, tuple(choice for choice in found if choice is not None))

    def restricted(self, allowed: Mapping[int, Sequence[LayoutPair]]) -> LayoutProblem:
        """With only these pairs for the groups that are named."""
        choices = (
            replace(each, pairs=tuple(pair for pair in each.pairs if pair in allowed.get(each.place, each.pairs)))
            for each in self.choices
        )
        return LayoutProblem(self.plan, tuple(choices))

    def allows(self, assignment: LayoutAssignment) -> bool:
        """Whether an assignment is one of this problem's."""
        pairs = {choice.place: choice.pairs for choice in self.choices}
        return all(pair in pairs.get(place, ()) for place, pair in assignment.pairs)

    def cheapest(self, cost: GroupCost, conversion: ConversionCost) -> LayoutAssignment | None:
        """An assignment of least total cost; None where the graph is too wide to know it."""
        network = self.network(cost, conversion)
        values = minimise(network)
        if values is None:
            return None
        chosen = {choice.place: choice.pairs[value] for choice, value in zip(self.choices, values, strict=False)}
        return LayoutAssignment.of(chosen)

    def secs(self, assignment: LayoutAssignment, cost: GroupCost, conversion: ConversionCost) -> float:
        """The total cost of an assignment, its conversions chosen at best; infinity where it is no possible one."""
        pairs = {each.place: [assignment.of_group(each.place)] for each in self.choices}
        fixed = self.restricted(pairs)
        if not all(each.pairs for each in fixed.choices):
            return math.inf
        network = fixed.network(cost, conversion)
        values = minimise(network)
        return math.inf if values is None else network.cost(values)

    def network(self, cost: GroupCost, conversion: ConversionCost) -> CostNetwork:
        """The groups' variables first, in the order of `choices`, then the tensors'."""
        unary = [np.array([cost(each.place, pair) for pair in each.pairs]) for each in self.choices]
        pairwise: dict[tuple[int, int], Costs] = {}
        writer = {self._result(each): number for number, each in enumerate(self.choices)}
        readers = self._readers()
        for variable in dict.fromkeys((*writer, *readers)):
            tensor = _Tensor.of(variable, self._layouts(variable, writer, readers), self._fixed_reader(variable))
            states = tensor.states(variable in writer)
            position = len(unary)
            unary.append(np.array([tensor.conversion_secs(state, conversion) for state in states]))
            if variable in writer:
                choice = self.choices[writer[variable]]
                pairwise[writer[variable], position] = _allowed(
                    [[pair.result == state[0] for state in states] for pair in choice.pairs]
                )
            for number, as_data in readers.get(variable, ()):
                pairs = [pair.data if as_data else pair.result for pair in self.choices[number].pairs]
                table = _allowed([[layout in state[1] for state in states] for layout in pairs])
                pairwise[number, position] = pairwise.get((number, position), 0.0) + table
        return CostNetwork(tuple(unary), pairwise)

    def _result(self, choice: GroupLayouts) -> RelaxVar:
        return self.plan.graph.operators[self.plan.groups[choice.place].sink].variable

    def _readers(self) -> dict[RelaxVar, list[tuple[int, bool]]]:
        """By tensor: the choices that read it, and whether as the data of a convolution."""
        found: dict[RelaxVar, list[tuple[int, bool]]] = {}
        for number, choice in enumerate(self.choices):
            for variables, as_data in ((choice.data, True), (choice.others, False)):
                for variable in variables:
                    found.setdefault(variable, []).append((number, as_data))
        return found

    def _layouts(
        self, variable: RelaxVar, writer: Mapping[RelaxVar, int], readers: Mapping[RelaxVar, list[tuple[int, bool]]]
    ) -> tuple[Layout, ...]:
        """Every layout that a tensor may be needed in."""
        found = {NHWC: None}
        if variable in writer:
            found |= {pair.result: None for pair in self.choices[writer[variable]].pairs}
        for number, as_data in readers.get(variable, ()):
            found |= {(pair.data if as_data else pair.result): None for pair in self.choices[number].pairs}
        return tuple(found)

    def _fixed_reader(self, variable: RelaxVar) -> bool:
        """Whether something without a choice reads a tensor, or the model returns it."""
        graph, index = self.plan.graph, self._index.get(variable)
        if index is None:
            return False
        return index in graph.outputs or any(user not in self._chosen for user in graph.users[index])

    @cached_property
    def _index(self) -> dict[RelaxVar, int]:
        """Operators by their variables."""
        return {operator.variable: operator.index for operator in self.plan.graph.operators}

    @cached_property
    def _chosen(self) -> frozenset[int]:
        """The operators of groups that have a choice."""
        return frozenset(index for each in self.choices for index in self.plan.groups[each.place].operators)


def _allowed(table: Sequence[Sequence[bool]]) -> Costs:
    """No cost where allowed, else infinity."""
    return np.where(np.array(table, dtype=bool), 0.0, math.inf)


_State = tuple[Layout, tuple[Layout, ...]]


@dataclass(frozen=True, slots=True)
class _Tensor:
    """What a tensor's variable is made from."""

    shape: tuple[int, ...]
    nbytes: int
    layouts: tuple[Layout, ...]
    read_as_it_is: bool

    @classmethod
    def of(cls, variable: RelaxVar, layouts: tuple[Layout, ...], read_as_it_is: bool) -> _Tensor:
        shape, dtype = tensor_type(variable)
        return cls(shape, math.prod(shape) * tvm.DataType(dtype).bits // 8, layouts, read_as_it_is)

    def states(self, is_chosen: bool) -> list[_State]:
        """The layout it is written in, and all that it is in afterwards."""
        written = self.layouts if is_chosen else (NHWC,)
        return [
            (first, held)
            for first in written
            for count in range(1, len(self.layouts) + 1)
            for held in itertools.combinations(self.layouts, count)
            if first in held and (NHWC in held or not self.read_as_it_is)
        ]

    def conversion_secs(self, state: _State, conversion: ConversionCost) -> float:
        """Of all that is not in memory as it was written."""
        written, held = state
        needed = [layout for layout in held if not layout.same_memory(written, self.shape)]
        return len(needed) * conversion(self.nbytes)
