"""How much memory the results of a plan's kernels take at most at one time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np

from flextune.lowering.operator_graph import OperatorGraph


class Kernels(Protocol):
    """Operators that are computed together, where `sink` is, and those whose values leave them, as one tensor."""

    @property
    def operators(self) -> tuple[int, ...]: ...

    @property
    def results(self) -> tuple[int, ...]: ...

    @property
    def sink(self) -> int: ...


def peak_bytes(graph: OperatorGraph, groups: Sequence[Kernels]) -> int:
    """The most bytes that are alive at one time, every tensor from where it is computed to where it is read last.

    What the model returns lies in memory of its own and does not count.
    """
    place = {index: group.sink for group in groups for index in group.operators}
    changes: list[tuple[int, bool, int]] = []
    for group in groups:
        read = [use for result in group.results for use in _uses(graph, result, place)]
        if None not in read:
            nbytes = sum(_bytes(graph, result) for result in group.results)
            last = max((use for use in read if use is not None), default=group.sink)
            changes += [(group.sink, False, nbytes), (last, True, -nbytes)]
    return _highest(change for *_, change in sorted(changes))


def _uses(graph: OperatorGraph, index: int, place: dict[int, int]) -> Iterator[int | None]:
    """Where a value is read, also as a view; None where it is returned."""
    if index in graph.outputs:
        yield None
    for user in graph.users[index]:
        if user in place:
            yield place[user]
        else:
            yield user
            yield from _uses(graph, user, place)


def _bytes(graph: OperatorGraph, index: int) -> int:
    operator = graph.operators[index]
    return operator.elements * np.dtype(operator.dtype).itemsize if operator.dtype else 0


def _highest(changes: Iterable[int]) -> int:
    highest = now = 0
    for change in changes:
        now += change
        highest = max(highest, now)
    return highest
