"""Positions for the nodes of a directed acyclic graph, drawn from top to bottom.

Layers by longest path, edges over several layers as chains of bends, order within a layer by barycentres, and
horizontal places by least squares: the framework of Sugiyama, Tagawa, Toda ("Methods for Visual Understanding of
Hierarchical System Structures", IEEE Trans. SMC 1981).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

SWEEPS = 6
"""Passes down and up over all layers, for the order and for the places; more change nothing one can see."""

BEND_WEIGHT = 4.0
"""How much straighter a long edge is kept than a box is centred."""

Edge = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Places:
    """`x` is the centre of each node, `layer` its row from the top; `bends` are the (x, row) an edge passes through."""

    x: tuple[float, ...]
    layer: tuple[int, ...]
    bends: Mapping[Edge, tuple[tuple[float, int], ...]]
    layers: int
    """Rows."""
    left: float
    """The smallest x of all."""
    right: float
    """The largest x of all."""


def place(count: int, edges: Sequence[Edge], width: float, gap: float, bend_width: float) -> Places:
    """Places for `count` nodes of one `width`; an edge leads from an earlier to a later number.

    Nodes of a layer are at least `gap` apart, and an edge that passes between them has `bend_width` for itself.
    """
    unique = sorted(set(edges))
    layer = _layers(count, unique)
    chains = _chains(count, unique, layer)
    rows = _rows(layer, chains)
    segments = [pair for chain in chains.values() for pair in pairwise(chain)]
    above, below = _neighbours(segments, len(layer))
    _reorder(rows, above, below)
    widths = [width + gap if node < count else bend_width for node in range(len(layer))]
    x = _horizontal(rows, above, below, widths, count)
    bends = {edge: tuple((x[node], layer[node]) for node in chain[1:-1]) for edge, chain in chains.items()}
    left = min((x[node] - widths[node] / 2 for node in range(len(x))), default=0.0)
    right = max((x[node] + widths[node] / 2 for node in range(len(x))), default=0.0)
    return Places(tuple(x[:count]), tuple(layer[:count]), bends, len(rows), left, right)


def _layers(count: int, edges: Sequence[Edge]) -> list[int]:
    """The row of each node: as high as it can be, but sources directly above their first reader."""
    layer = [0] * count
    for source, target in sorted(edges, key=lambda edge: edge[1]):
        layer[target] = max(layer[target], layer[source] + 1)
    fed = {target for _, target in edges}
    for node in range(count):
        readers = [layer[target] for source, target in edges if source == node]
        if node not in fed and readers:
            layer[node] = min(readers) - 1
    return layer


def _chains(count: int, edges: Sequence[Edge], layer: list[int]) -> dict[Edge, list[int]]:
    """Each edge as the nodes it passes, new ones in every row between its ends; `layer` grows by them."""
    chains = {}
    for source, target in edges:
        between = list(range(layer[source] + 1, layer[target]))
        chains[source, target] = [source, *range(len(layer), len(layer) + len(between)), target]
        layer.extend(between)
    assert len(layer) >= count
    return chains


def _rows(layer: Sequence[int], chains: Mapping[Edge, list[int]]) -> list[list[int]]:
    rows: list[list[int]] = [[] for _ in range(max(layer, default=-1) + 1)]
    seen: set[int] = set()
    ordered = [*range(len(layer) - sum(len(chain) - 2 for chain in chains.values()))]
    ordered += [node for chain in chains.values() for node in chain[1:-1]]
    for node in ordered:
        if node not in seen:
            seen.add(node)
            rows[layer[node]].append(node)
    return rows


def _neighbours(segments: Sequence[Edge], count: int) -> tuple[list[list[int]], list[list[int]]]:
    above: list[list[int]] = [[] for _ in range(count)]
    below: list[list[int]] = [[] for _ in range(count)]
    for source, target in segments:
        above[target].append(source)
        below[source].append(target)
    return above, below


def _reorder(rows: list[list[int]], above: list[list[int]], below: list[list[int]]) -> None:
    """Sort every row by the mean position of its neighbours, down and up in turns, in place."""
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        near = above if down else below
        for row in rows if down else reversed(rows):
            position = {node: index for other in rows for index, node in enumerate(other)}
            row.sort(key=lambda node: _mean([position[other] for other in near[node]], position[node]))


def _horizontal(
    rows: list[list[int]], above: list[list[int]], below: list[list[int]], widths: Sequence[float], boxes: int
) -> list[float]:
    """Centres: each row as near to the mean of its neighbours as its order and the widths allow."""
    x = [0.0] * len(widths)
    for row in rows:
        for node, centre in zip(row, _spread([0.0] * len(row), row, widths, boxes), strict=True):
            x[node] = centre
    for sweep in range(2 * SWEEPS):
        down = sweep % 2 == 0
        near = above if down else below
        for row in rows if down else reversed(rows):
            wanted = [_mean([x[other] for other in near[node]], x[node]) for node in row]
            for node, centre in zip(row, _spread(wanted, row, widths, boxes), strict=True):
                x[node] = centre
    return x


def _spread(wanted: Sequence[float], row: Sequence[int], widths: Sequence[float], boxes: int) -> list[float]:
    """Centres nearest to the wanted ones (weighted squares) at which the nodes of a row do not overlap.

    With the distances taken off, that is isotonic regression: neighbours in the wrong order are pooled.
    """
    offsets = [0.0]
    for left, right in pairwise(row):
        offsets.append(offsets[-1] + (widths[left] + widths[right]) / 2)
    pools: list[list[float]] = []  # mean, weight, members
    for node, centre, offset in zip(row, wanted, offsets, strict=True):
        pools.append([centre - offset, 1.0 if node < boxes else BEND_WEIGHT, 1])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            mean, weight, members = pools.pop()
            last = pools[-1]
            pools[-1] = [(last[0] * last[1] + mean * weight) / (last[1] + weight), last[1] + weight, last[2] + members]
    means = [mean for mean, _, members in pools for _ in range(int(members))]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
