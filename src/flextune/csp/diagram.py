"""A layered decision diagram: exact counts, ranks, samples, marginals and restriction of a set of assignments.

One layer per variable (a multivalued decision diagram, MDD). The edges of a layer are sorted by the state they leave,
then by value; an edge leads to a state of the next layer. Every state leads to at least one solution, states after the
last layer are one: the end. A solution is a path from the first layer's one state to the end.

Everything is dynamic programming over the layers, on counts (Darwiche and Marquis, "A knowledge compilation map", 2002:
a compiled form pays because these questions take time linear in its size, however many solutions there are):

* weight(state) = the number of paths from it to the end = the sum of the weights of its edges' targets (from the end
  backwards). The first state's weight is the number of solutions.
* Ranks. Solutions are numbered in the order of their paths. A path's rank is the sum, over its edges, of the weights of
  the edges before it at the same state. The other way round, the edge to take is the one in whose interval the rank
  falls, found by bisection (combinatorial unranking: Nijenhuis and Wilf, "Combinatorial Algorithms", 1978).
* A uniform sample is the solution of a uniformly random rank: no rejection, no bias.
* A marginal multiplies paths from the start to an edge by paths from its target to the end (forward-backward).
* A restriction drops edges and then the states that no longer lead to the end.

Counts past 62 bits are Python integers (dtype object); nothing is rounded, except in `sampled_each`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from flextune.csp.arithmetic import Numbers
from flextune.csp.constraint import Truth

_SAFE = 2**62
_CELLS_AT_ONCE = 1 << 22
Columns = dict[str, Numbers]


@dataclass(frozen=True, slots=True)
class Layer:
    """The edges of one variable, in compressed rows (CSR): sorted by the state they leave, then by value."""

    name: str
    """The variable."""
    values: Numbers
    """Its domain, sorted."""
    start: npt.NDArray[np.int64]
    """State s has the edges `start[s]` up to, not including, `start[s + 1]`: one entry more than states."""
    choice: npt.NDArray[np.uint32]
    """By edge: it takes the value `values[choice]`,"""
    target: npt.NDArray[np.int32]
    """and leads to this state of the next layer."""

    @property
    def states(self) -> int:
        return len(self.start) - 1


class Diagram:
    """The solutions of some variables as paths from the one state of the first layer to the end."""

    def __init__(self, layers: tuple[Layer, ...], ends: int) -> None:
        self.layers, self.weights = _alive(layers, ends)
        self.count = int(self.weights[0][0]) if len(self.weights[0]) else 0

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(layer.name for layer in self.layers)

    @property
    def edges(self) -> int:
        return sum(len(layer.target) for layer in self.layers)

    @property
    def states(self) -> int:
        return sum(layer.states for layer in self.layers)

    @cached_property
    def _before(self) -> tuple[Numbers, ...]:
        """Per layer, the number of solutions through edges before each edge (and one entry for all)."""
        return tuple(
            _running(weights[layer.target]) for layer, weights in zip(self.layers, self.weights[1:], strict=True)
        )

    @cached_property
    def _keys(self) -> tuple[Numbers, ...]:
        return tuple(map(edge_keys, self.layers))

    def unranked(self, ranks: Numbers) -> Columns:
        """The solutions with these ranks (0 <= rank < count), by variable."""
        state = np.zeros(len(ranks), dtype=np.int64)
        rank = ranks
        columns: Columns = {}
        for layer, before in zip(self.layers, self._before, strict=True):
            if len(layer.target) == layer.states:  # one edge for each state: nothing to choose
                edge = state
            else:  # `before` runs over the whole layer: shift the rank to where its state's edges begin
                rank = rank + before[layer.start[state]]
                edge = np.searchsorted(before, rank, side="right") - 1
                rank = rank - before[edge]
            columns[layer.name] = layer.values[layer.choice[edge]]
            state = layer.target[edge].astype(np.int64)
        return columns

    def ranked(self, columns: Mapping[str, Numbers]) -> tuple[Numbers, Truth]:
        """The rank of each row and whether it is a solution (elsewhere the rank means nothing)."""
        rows = len(columns[self.layers[0].name]) if self.layers else 1
        exact = np.int64 if self.count < _SAFE else object
        state, rank, known = np.zeros(rows, dtype=np.int64), np.zeros(rows, dtype=exact), np.full(rows, self.count > 0)
        if not self.count:
            return rank, known
        for layer, keys, before in zip(self.layers, self._keys, self._before, strict=True):
            edge, found = self._edge(layer, keys, state, columns[layer.name])
            known &= found
            rank = rank + np.where(known, before[edge] - before[layer.start[state]], 0)
            state = layer.target[edge].astype(np.int64)
        return rank, known

    def _edge(self, layer: Layer, keys: Numbers, state: Numbers, values: Numbers) -> tuple[Numbers, Truth]:
        """The edge of each state with this value, and whether there is one."""
        wanted = np.minimum(np.searchsorted(layer.values, values), len(layer.values) - 1)
        key = state * len(layer.values) + wanted
        edge = np.minimum(np.searchsorted(keys, key), len(keys) - 1)
        return edge, (layer.values[wanted] == values) & (keys[edge] == key)

    def followed(self, wanted: Numbers, forced: Truth) -> Numbers:
        """For each row of wanted values (a column per layer), the solution that has them, or the closest one.

        Where a value that is not forced cannot be had, the only possible one is taken; rows for which there are
        several, or whose forced values cannot be had, are left out.
        """
        state, known = np.zeros(len(wanted), dtype=np.int64), np.full(len(wanted), self.count > 0)
        taken = np.zeros(wanted.shape, dtype=np.int64)
        if not self.count:
            return taken[:0]
        for position, (layer, keys) in enumerate(zip(self.layers, self._keys, strict=True)):
            edge, found = self._edge(layer, keys, state, wanted[:, position])
            only = (layer.start[state + 1] - layer.start[state] == 1) & ~forced[:, position]
            edge = np.where(found, edge, layer.start[state])
            known &= found | only
            taken[:, position] = layer.values[layer.choice[edge]]
            state = layer.target[edge].astype(np.int64)
        return np.asarray(taken[known], dtype=np.int64)

    def marginal(self, name: str) -> dict[int, int]:
        """The exact number of solutions with each value of a variable; values without solutions are left out."""
        if not self.count:
            return {}
        reaching = _object_if(np.ones(1, dtype=np.int64), self.count)  # paths from the start to each state
        for layer, weights in zip(self.layers, self.weights[1:], strict=True):
            source = np.repeat(np.arange(layer.states), np.diff(layer.start))
            if layer.name == name:
                through = reaching[source] * weights[layer.target]
                totals = np.zeros(len(layer.values), dtype=through.dtype)
                np.add.at(totals, layer.choice, through)
                return {int(v): int(t) for v, t in zip(layer.values, totals, strict=True) if t}
            following = np.zeros(len(weights), dtype=reaching.dtype)
            np.add.at(following, layer.target, reaching[source])
            reaching = following
        raise KeyError(name)

    def sampled_each(self, rng: np.random.Generator, rows: int, allowed: Mapping[str, Truth]) -> tuple[Columns, Truth]:
        """One uniform solution per row under the row's own restriction, and whether it has any.

        `allowed` has for some variables a mask of shape (rows, values of the layer). Counts are floating-point numbers
        here: uniform up to their rounding.
        """
        at_once = max(1, _CELLS_AT_ONCE // max(1, self.edges))
        chunks = [slice(begin, min(rows, begin + at_once)) for begin in range(0, rows, at_once)]
        found = [
            self._sampled_chunk(rng, chunk.stop - chunk.start, {name: mask[chunk] for name, mask in allowed.items()})
            for chunk in chunks
        ]
        columns = {name: np.concatenate([part[0][name] for part in found]) for name in self.names}
        return columns, np.concatenate([part[1] for part in found])

    def _sampled_chunk(
        self, rng: np.random.Generator, rows: int, allowed: Mapping[str, Truth]
    ) -> tuple[Columns, Truth]:
        # Backward: each row's number of allowed paths to the end, by state. Forward: an edge drawn by these weights.
        following = np.ones((1, 1))
        edge_weights: list[npt.NDArray[np.float64]] = []
        for layer in reversed(self.layers):
            through = following[:, layer.target]
            if layer.name in allowed:
                through = through * allowed[layer.name][:, layer.choice]
            following = np.add.reduceat(through, layer.start[:-1], axis=1)
            edge_weights.append(through)
        possible = np.broadcast_to(following[:, 0] > 0, (rows,))
        state = np.zeros(rows, dtype=np.int64)
        columns: Columns = {}
        for layer, through in zip(self.layers, reversed(edge_weights), strict=True):
            edge = _drawn_edges(rng, layer, state, through)
            columns[layer.name] = layer.values[layer.choice[edge]]
            state = layer.target[edge].astype(np.int64)
        return columns, possible

    def restricted(self, allowed: Mapping[str, Truth]) -> Diagram:
        """Only the solutions whose variables have allowed values: a mask over `layer.values` per variable."""
        # Forward, states that are still reached are numbered anew; `Diagram` removes the dead ones, backward.
        reached = np.arange(1 if self.count else 0)
        layers: list[Layer] = []
        for layer, weights in zip(self.layers, self.weights[1:], strict=True):
            begin, length = layer.start[reached], layer.start[reached + 1] - layer.start[reached]
            edge = _ranges(begin, length)
            source = np.repeat(np.arange(len(reached)), length)
            if layer.name in allowed:
                keep = allowed[layer.name][layer.choice[edge]]
                edge, source = edge[keep], source[keep]
            old = layer.target[edge]
            seen = np.zeros(len(weights), dtype=bool)
            seen[old] = True
            following = np.flatnonzero(seen)
            number = np.zeros(len(weights), dtype=np.int32)
            number[following] = np.arange(len(following), dtype=np.int32)
            start = np.searchsorted(source, np.arange(len(reached) + 1)).astype(np.int64)
            layers.append(Layer(layer.name, layer.values, start, layer.choice[edge], number[old]))
            reached = following
        return Diagram(tuple(layers), len(reached))


def edge_keys(layer: Layer) -> Numbers:
    """state * number of values + choice, by edge: increasing."""
    source = np.repeat(np.arange(layer.states), np.diff(layer.start))
    return source.astype(np.int64) * len(layer.values) + layer.choice.astype(np.int64)


def _ranges(begin: Numbers, length: Numbers) -> Numbers:
    """begin[0], begin[0]+1, ... (length[0] of them), begin[1], ..."""
    after = np.cumsum(length)
    total = int(after[-1]) if len(after) else 0
    return np.arange(total) + np.repeat(begin - after + length, length)


def _drawn_edges(
    rng: np.random.Generator, layer: Layer, state: Numbers, weights: npt.NDArray[np.float64]
) -> npt.NDArray[np.int64]:
    """For each row an edge of its state, drawn by the row's weights; any where all of them are 0."""
    begin, end = layer.start[state], layer.start[state + 1]
    steps = np.arange(int((end - begin).max(initial=1)))
    edges = np.minimum(begin[:, None] + steps, end[:, None] - 1)
    owner = np.arange(len(state))[:, None] if len(weights) > 1 else 0
    weight = np.where(begin[:, None] + steps < end[:, None], weights[owner, edges], 0.0)
    reached = np.cumsum(weight, axis=1)
    total = reached[:, -1]
    drawn = np.minimum(rng.random(len(state)) * total, np.nextafter(total, 0))
    picked = (reached > drawn[:, None]).argmax(axis=1)
    return np.asarray(edges[np.arange(len(state)), picked], dtype=np.int64)


def _object_if(values: Numbers, bound: int) -> Numbers:
    return values if bound < _SAFE else values.astype(object)


def _running(values: Numbers) -> Numbers:
    """0, values[0], values[0] + values[1], ...; exact."""
    if values.dtype != object and float(values.sum(dtype=np.float64)) >= _SAFE:
        values = values.astype(object)
    result = np.zeros(len(values) + 1, dtype=values.dtype)
    np.cumsum(values, out=result[1:])
    return result


def _alive(layers: Sequence[Layer], ends: int) -> tuple[tuple[Layer, ...], tuple[Numbers, ...]]:
    """Without the states that lead to no solution, and the number of solutions below each state of each layer."""
    weights = [np.ones(ends, dtype=np.int64)]
    kept: list[Layer] = []
    alive = np.ones(ends, dtype=bool)
    for layer in reversed(layers):
        if not alive.all():
            layer = without(layer, alive)
        running = _running(weights[-1][layer.target])  # prefix sums, so that a state's total is a difference
        weight = running[layer.start[1:]] - running[layer.start[:-1]]
        if weight.dtype == object and len(weight) and max(weight) < _SAFE:
            weight = weight.astype(np.int64)
        alive = layer.start[1:] > layer.start[:-1]
        weights.append(weight[alive])
        kept.append(Layer(layer.name, layer.values, _compact(layer.start, alive), layer.choice, layer.target))
    return tuple(reversed(kept)), tuple(reversed(weights))


def _compact(start: npt.NDArray[np.int64], alive: Truth) -> npt.NDArray[np.int64]:
    return start if alive.all() else np.concatenate((start[:1], start[1:][alive]))


def without(layer: Layer, alive: Truth) -> Layer:
    """The layer without edges to states that are not alive, targets renumbered."""
    keep = alive[layer.target]
    number = np.cumsum(alive, dtype=np.int64) - 1
    before = np.zeros(len(keep) + 1, dtype=np.int64)
    np.cumsum(keep, out=before[1:])
    target = number[layer.target[keep]].astype(np.int32)
    return Layer(layer.name, layer.values, before[layer.start], layer.choice[keep], target)
