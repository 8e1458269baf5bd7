"""The solution with the least cost, where every value of every variable has a price: a shortest path in the diagram.

The diagram is acyclic and layered, so that one backward pass suffices (Bellman's recursion, no queue):

    cost(end) = 0        cost(state) = min over its edges of price(edge's value) + cost(edge's target)

and the path is read off forward, at each state an edge that has the minimum. That is done for many price lists ("rows")
at once: the arrays have a column per row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from flextune.csp.arithmetic import Numbers
from flextune.csp.diagram import Diagram, Layer

Costs = npt.NDArray[np.float64]
"""Shape (rows, values)."""

_EDGES_AT_ONCE = 1_000_000
"""Rows times edges of a layer that are looked at together: fewer make for more calls, more for more memory."""
_FEW_ROWS = 8


def cheapest_in(part: Diagram, costs: Mapping[str, Costs], rows: int) -> dict[str, Numbers]:
    """For each of `rows`, the cheapest solution of a part that has any, exactly; of equal ones the first in rank order.

    `costs[name]` has a column for each of the layer's values; a variable without costs is free.
    """
    widest = max((len(layer.target) for layer in part.layers), default=1)
    step = max(1, _EDGES_AT_ONCE // max(1, widest))
    found = [_cheapest(part, costs, slice(begin, min(rows, begin + step))) for begin in range(0, rows, step)]
    return {
        layer.name: np.concatenate([columns[layer.name] for columns in found]) if found else layer.values[:0]
        for layer in part.layers
    }


def _cheapest(part: Diagram, costs: Mapping[str, Costs], rows: slice) -> dict[str, Numbers]:
    sliced = [np.ascontiguousarray(costs[layer.name][rows].T) if layer.name in costs else None for layer in part.layers]
    left = _least_costs(part.layers, sliced, rows.stop - rows.start)
    state = np.zeros(rows.stop - rows.start, dtype=np.int64)
    columns: dict[str, Numbers] = {}
    for layer, cost, after in zip(part.layers, sliced, left[1:], strict=True):
        edge = _cheapest_edge(layer, cost, after, state)
        columns[layer.name] = layer.values[layer.choice[edge]]
        state = layer.target[edge].astype(np.int64)
    return columns


def _least_costs(layers: Sequence[Layer], costs: Sequence[Costs | None], rows: int) -> list[Costs]:
    """Per layer and for the end, by state and row: the cost of the cheapest way from there to the end."""
    least = _least_by_rank if rows > _FEW_ROWS else _least_at_once
    left = [np.zeros((1, rows))]
    for layer, cost in zip(reversed(layers), reversed(costs), strict=True):
        left.append(least(layer, cost, left[-1]))
    return left[::-1]


def _through(layer: Layer, cost: Costs | None, after: Costs, edges: Numbers | slice) -> Costs:
    """What the rest of the way costs that begins with one of these edges, by edge and row."""
    through = after.take(layer.target[edges], axis=0)
    if cost is not None:
        through += cost.take(layer.choice[edges], axis=0)
    return through


def _least_at_once(layer: Layer, cost: Costs | None, after: Costs) -> Costs:
    """The least over each state's edges: quick for few rows."""
    return np.minimum.reduceat(_through(layer, cost, after, slice(None)), layer.start[:-1], axis=0)


def _least_by_rank(layer: Layer, cost: Costs | None, after: Costs) -> Costs:
    """The same, quick for many rows: all states' first edges, then the second ones of those that have two, ..."""
    if len(layer.target) == len(layer.start) - 1:  # one edge for each state: nothing to compare
        return _through(layer, cost, after, slice(None))
    # States by falling number of edges: those that still have a next edge are always a prefix.
    degree = np.diff(layer.start)
    order = np.argsort(-degree, kind="stable")
    first = layer.start[order]
    best = _through(layer, cost, after, first)
    for rank in range(1, int(degree.max(initial=1))):
        count = int((degree > rank).sum())
        np.minimum(best[:count], _through(layer, cost, after, first[:count] + rank), out=best[:count])
    least = np.empty_like(best)
    least[order] = best
    return least


def _cheapest_edge(layer: Layer, cost: Costs | None, after: Costs, state: Numbers) -> Numbers:
    """The edge that each row takes from its state."""
    begin, end = layer.start[state], layer.start[state + 1]
    widest = int((end - begin).max(initial=1))
    edges = np.minimum(begin + np.arange(widest)[:, None], end - 1)  # a shorter column repeats its last edge
    row = np.arange(len(state))
    through = after[layer.target[edges], row]
    if cost is not None:
        through = through + cost[layer.choice[edges], row]
    return np.asarray(edges[np.argmin(through, axis=0), row], dtype=np.int64)
