"""Exact minimisation of a sum of costs over few values each: variable elimination on a network of pairwise costs.

A *factor* is a table of costs over a few variables; the network is the sum of its factors. Two variables are
*neighbours* if a factor has both. To *eliminate* a variable, all factors with it are added up, and the minimum over its
values becomes a new factor over its neighbours, which are neighbours of each other from then on:

    minimum over x, y, z of f(x, y) + g(x, z)  =  minimum over y, z of h(y, z),   h(y, z) = minimum over x of f + g

When none is left, values are read back in reverse order: each variable takes the best value, given its neighbours that
were eliminated later. The *elimination order* decides how large the factors become: the most neighbours that a variable
has when its turn comes is the order's *induced width* w, and the largest table has (values per variable) ^ (w + 1)
entries. The best order is NP-hard to find; here the variable with the smallest table goes next (greedy, "min-weight").
A chain has width 1, a chain with shortcuts (ResNet) 2.

Bertelè, Brioschi: "Nonserial Dynamic Programming" (1972); Dechter: "Bucket elimination: a unifying framework for
reasoning" (1999), sections 2 and 4.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt

Costs = npt.NDArray[np.float64]

MOST_ENTRIES = 1 << 22
"""Of a table; a graph that needs larger ones is too wide to be minimised exactly."""


@dataclass(frozen=True, slots=True, eq=False)
class CostNetwork:
    """Variables with a cost for each of their values, and costs for the values of pairs of them (infinity: forbidden).

    `unary[i]` has one entry per value of variable i, `pairwise[i, j]` (i < j) one row per value of i.
    """

    unary: tuple[Costs, ...]
    pairwise: Mapping[tuple[int, int], Costs]

    def cost(self, values: Sequence[int]) -> float:
        """The sum of all costs of an assignment."""
        alone = sum(float(costs[value]) for costs, value in zip(self.unary, values, strict=True))
        return alone + sum(float(costs[values[i], values[j]]) for (i, j), costs in self.pairwise.items())


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """A factor: costs over the values of `variables`, one axis each."""

    variables: tuple[int, ...]
    costs: Costs


def minimise(network: CostNetwork, most_entries: int = MOST_ENTRIES) -> tuple[int, ...] | None:
    """The value of every variable in a cheapest assignment.

    None when everything is forbidden, or when a table of more than `most_entries` would be needed.
    """
    sizes = [len(costs) for costs in network.unary]
    tables = [[_Table((index,), costs)] for index, costs in enumerate(network.unary)]
    near: list[set[int]] = [set() for _ in sizes]
    for pair, costs in network.pairwise.items():
        tables[min(pair)].append(_Table(pair, costs))
        for one, other in (pair, pair[::-1]):
            near[one].add(other)
    return _eliminated(tables, near, sizes, most_entries)


def _eliminated(
    tables: list[list[_Table]], near: list[set[int]], sizes: Sequence[int], most_entries: int
) -> tuple[int, ...] | None:
    """`tables` holds each table at one of its variables, `near` the neighbours of each; both are used up."""
    # entries[v]: the size of the table that eliminating v now would make (its values times those of its neighbours)
    entries = [size * math.prod(sizes[other] for other in others) for size, others in zip(sizes, near, strict=True)]
    left, found = set(range(len(sizes))), []
    while left:
        variable = min(left, key=lambda each: (entries[each], each))
        if entries[variable] > most_entries:
            return None
        left.discard(variable)
        others = near[variable]
        joined = _joined(variable, _taken(variable, others, tables), sizes)
        found.append((variable, joined))
        if not others and not math.isfinite(joined.costs.min()):
            return None  # the last variable of a connected part: all its assignments are forbidden
        for other in others:  # the new table connects the neighbours with each other
            near[other] |= others
            near[other] -= {variable, other}
            entries[other] = sizes[other] * math.prod(sizes[each] for each in near[other])
        if others:
            tables[min(others)].append(_Table(joined.variables[1:], joined.costs.min(axis=0)))
    return _values(found, len(sizes))


def _taken(variable: int, others: Iterable[int], tables: list[list[_Table]]) -> list[_Table]:
    """All tables over a variable, taken out of `tables`."""
    taken = []
    for place in (variable, *others):
        mine = [table for table in tables[place] if variable in table.variables]
        tables[place] = [table for table in tables[place] if variable not in table.variables]
        taken += mine
    return taken


def _joined(variable: int, tables: Sequence[_Table], sizes: Sequence[int]) -> _Table:
    """The sum of all tables of a variable, its own axis first."""
    others = sorted({other for table in tables for other in table.variables} - {variable})
    scope = (variable, *others)
    aligned = (_aligned(table, scope, sizes) for table in tables)
    total = reduce(np.add, aligned, np.zeros([sizes[other] for other in scope]))
    return _Table(scope, total)


def _aligned(table: _Table, scope: tuple[int, ...], sizes: Sequence[int]) -> Costs:
    """The table's costs with its axes in the order of `scope`, and axes of length 1 for the others."""
    order = sorted(range(len(table.variables)), key=lambda axis: scope.index(table.variables[axis]))
    costs = table.costs.transpose(order)
    return costs.reshape([sizes[other] if other in table.variables else 1 for other in scope])


def _values(eliminated: Sequence[tuple[int, _Table]], count: int) -> tuple[int, ...] | None:
    """The best value of each variable, last eliminated first: then the others in its table have values already."""
    values = [0] * count
    for variable, table in reversed(eliminated):
        known = tuple(values[other] for other in table.variables[1:])
        costs = np.moveaxis(table.costs, 0, -1)[known]
        values[variable] = int(np.argmin(costs))
        if not math.isfinite(costs[values[variable]]):
            return None
    return tuple(values)
