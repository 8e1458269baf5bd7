"""Where to cut a graph whose nodes belong to several sides, so that the parts can run one after the other.

A part runs as a whole, so it must be convex: no path leaves it and comes back. The sides take turns, and each node is
given a phase, as small as its inputs allow, that is a turn of its side; the nodes of one phase are one part. A path
that leaves a part comes to a higher phase, so it cannot come back, and with two sides no cut has fewer parts one after
the other.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import permutations


class Side(Enum):
    """Who runs a node."""

    OWN = "own"
    """We do, as a program over tensors."""
    PROCEDURE = "procedure"
    """We do, by a function in C."""
    OTHER = "other"
    """Another runtime does."""


@dataclass(frozen=True, slots=True)
class Cut:
    """One part: the indices of its nodes, in their order, and who runs them."""

    nodes: tuple[int, ...]
    side: Side


def cuts_of(reads: Sequence[Collection[int]], sides: Sequence[Side]) -> tuple[Cut, ...]:
    """The parts in an order in which they can run, from the nodes that each node reads (all before it) and its side.

    Any side may begin; the way with fewest parts is taken, ours first where several have as few.

    >>> own, other = Side.OWN, Side.OTHER
    >>> [cut.nodes for cut in cuts_of([[], [0], [0], [1, 2]], [own, other, own, own])]
    [(0, 2), (1,), (3,)]
    """
    present = [side for side in Side if side in sides] or [Side.OWN]
    return min((_cuts(reads, sides, order) for order in permutations(present)), key=len)


def _cuts(reads: Sequence[Collection[int]], sides: Sequence[Side], order: Sequence[Side]) -> tuple[Cut, ...]:
    """The sides take turns in this order: each phase is one side's."""
    phases: list[int] = []
    for index, sources in enumerate(reads):
        earliest = max((phases[source] for source in sources), default=0)
        waits = (order.index(sides[index]) - earliest) % len(order)
        phases.append(earliest + waits)
    parts: dict[int, list[int]] = {}
    for index, phase in enumerate(phases):
        parts.setdefault(phase, []).append(index)
    return tuple(Cut(tuple(nodes), order[phase % len(order)]) for phase, nodes in sorted(parts.items()))
