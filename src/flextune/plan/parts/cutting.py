"""Where to cut a graph whose nodes belong to two sides, so that the parts can run one after the other.

A part runs as a whole, so it must be convex: no path leaves it and comes back. Nodes are given a phase, the number of
changes of side on the way to them, as small as their inputs allow; the nodes of one side and one phase are one part. A
path that leaves a part comes to a higher phase, so it cannot come back, and no cut has fewer parts one after the other.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

OWN, OTHER = True, False


@dataclass(frozen=True, slots=True)
class Cut:
    """One part: the indices of its nodes, in their order, and whether they are on our side."""

    nodes: tuple[int, ...]
    is_own: bool


def cuts_of(reads: Sequence[Collection[int]], own: Sequence[bool]) -> tuple[Cut, ...]:
    """The parts in an order in which they can run, from the nodes that each node reads (all before it) and its side.

    Both sides may begin; the way with fewer parts is taken, ours first where both have as many.

    >>> cuts_of([[], [0], [0], [1, 2]], [True, False, True, True])
    (Cut(nodes=(0, 2), is_own=True), Cut(nodes=(1,), is_own=False), Cut(nodes=(3,), is_own=True))
    """
    return min((_cuts(reads, own, first) for first in (OWN, OTHER)), key=len)


def _cuts(reads: Sequence[Collection[int]], own: Sequence[bool], first: bool) -> tuple[Cut, ...]:
    """Phases of even numbers are those of the side that begins."""
    phases: list[int] = []
    for index, sources in enumerate(reads):
        earliest = max((phases[source] for source in sources), default=0)
        is_in_turn = (earliest % 2 == 0) == (own[index] == first)
        phases.append(earliest if is_in_turn else earliest + 1)
    parts: dict[int, list[int]] = {}
    for index, phase in enumerate(phases):
        parts.setdefault(phase, []).append(index)
    return tuple(Cut(tuple(nodes), (phase % 2 == 0) == first) for phase, nodes in sorted(parts.items()))
