"""Placing buffers with known sizes and lifetimes in one block of memory.

The method is greedy (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020, section 5):
one buffer after the other, each at the lowest offset where it meets no buffer that lives at the same time. Which order
is best depends on the model; the largest first usually is, but the order of use, backwards or forwards, also counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True, slots=True)
class Lifetime:
    """A buffer of `nbytes` that is written first in step `first` and read last in step `last`."""

    nbytes: int
    first: int
    last: int

    def meets(self, other: Lifetime) -> bool:
        """Whether both are alive in some step."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Offsets of the buffers, in their order, and the size of the block that holds them."""

    offsets: tuple[int, ...]
    nbytes: int


def plan_memory(buffers: Sequence[Lifetime], alignment: int) -> MemoryPlan:
    """Offsets, multiples of `alignment`, such that buffers that live at the same time do not overlap.

    >>> plan_memory([Lifetime(64, 0, 1), Lifetime(64, 1, 2), Lifetime(64, 2, 3)], 64)
    MemoryPlan(offsets=(0, 64, 0), nbytes=128)
    """
    indices = range(len(buffers))
    orders = (
        sorted(indices, key=lambda each: (-buffers[each].nbytes, buffers[each].first)),
        sorted(indices, key=lambda each: buffers[each].last, reverse=True),
        sorted(indices, key=lambda each: buffers[each].first),
    )
    return min((_placed(buffers, order, alignment) for order in orders), key=lambda plan: plan.nbytes)


def _placed(buffers: Sequence[Lifetime], order: Sequence[int], alignment: int) -> MemoryPlan:
    placed: list[tuple[int, int, Lifetime]] = []
    offsets = [0] * len(buffers)
    for index in order:
        buffer = buffers[index]
        taken = sorted((begin, end) for begin, end, other in placed if buffer.meets(other))
        offsets[index] = _lowest_gap(taken, _aligned(buffer.nbytes, alignment))
        placed.append((offsets[index], offsets[index] + _aligned(buffer.nbytes, alignment), buffer))
    return MemoryPlan(tuple(offsets), max((end for _, end, _ in placed), default=0))


def least_bytes(buffers: Iterable[Lifetime]) -> int:
    """The most bytes alive in one step: no plan needs less."""
    changes: dict[int, int] = defaultdict(int)
    for buffer in buffers:
        changes[buffer.first] += buffer.nbytes
        changes[buffer.last + 1] -= buffer.nbytes
    return max(accumulate(change for _, change in sorted(changes.items())), default=0)


def _lowest_gap(taken: Sequence[tuple[int, int]], nbytes: int) -> int:
    offset = 0
    for begin, end in taken:
        if offset + nbytes <= begin:
            break
        offset = max(offset, end)
    return offset


def _aligned(nbytes: int, alignment: int) -> int:
    return -(-max(nbytes, 1) // alignment) * alignment
