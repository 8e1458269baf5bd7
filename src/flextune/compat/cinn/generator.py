"""Candidates by brute force, as CINN's `BFGenerator`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from flextune.errors import UsageError

Constraint = Callable[[tuple[int, ...]], object]
"""Whether a tuple of values, in the order of the ranges, is a candidate."""

_MOST = 1 << 22


class BFGenerator:
    """Every combination of whole numbers in the ranges (both ends included) that keeps all constraints, in order.

    >>> generator = BFGenerator({"warp_num": (1, 4), "spatial_inner_num": (1, 2)}, {lambda x: x[0] != 3})
    >>> list(generator)[:2]
    [{'warp_num': 1, 'spatial_inner_num': 1}, {'warp_num': 1, 'spatial_inner_num': 2}]
    """

    def __init__(
        self,
        candidate_range: Mapping[str, Sequence[int]],
        constraints: Collection[Constraint] | Constraint = (),
    ) -> None:
        self.ranges = {str(name): _range(str(name), ends) for name, ends in candidate_range.items()}
        if not self.ranges:
            raise UsageError("BFGenerator: candidate_range has no parameter")
        self.constraints = (constraints,) if callable(constraints) else tuple(constraints)
        if not all(map(callable, self.constraints)):
            raise UsageError("BFGenerator: each constraint is a function of the tuple of values")
        total = 1
        for values in self.ranges.values():
            total *= len(values)
        if total > _MOST:
            raise UsageError(f"BFGenerator: {total} combinations are too many to go through: narrow candidate_range")

    def __iter__(self) -> Iterator[dict[str, int]]:
        for values in itertools.product(*self.ranges.values()):
            if all(self._keeps(constraint, values) for constraint in self.constraints):
                yield dict(zip(self.ranges, values, strict=True))

    @staticmethod
    def _keeps(constraint: Constraint, values: tuple[int, ...]) -> bool:
        try:
            return bool(constraint(values))
        except Exception as error:
            raise UsageError(
                f"BFGenerator: a constraint raised {type(error).__name__} for {values}: {error}"
            ) from error


def _range(name: str, ends: Sequence[int]) -> range:
    numbers = list(ends) if isinstance(ends, Sequence) and not isinstance(ends, str) else []
    if len(numbers) != 2 or not all(isinstance(each, int) and not isinstance(each, bool) for each in numbers):
        raise UsageError(f"BFGenerator: {name} needs (lowest, highest), got {ends!r}")
    if numbers[0] > numbers[1] or numbers[0] < 1:
        raise UsageError(f"BFGenerator: {name}: expected 1 <= lowest <= highest, got {ends!r}")
    return range(numbers[0], numbers[1] + 1)
