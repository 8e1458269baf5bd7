"""Propagation for reformulated networks: functions, all-different sets, and pairs of wide domains.

It knows more than `DomainPropagation` and costs more: comparisons of any two nodes by their bounds, a divisor that is
no larger than what it divides, pairs of wide domains value by value (some at a time), functions both ways, and sets of
different values. Spaces that compile without it are left to the plain one: what it narrows can change which order of
the variables looks best, and with it the ranks of the solutions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from flextune.csp.arithmetic import Numbers
from flextune.csp.constraint import Divides, Eq, Le, Lt, Ne, Predicate, Truth
from flextune.csp.network import Check, Kind, Network, Node
from flextune.csp.propagation import DomainPropagation, ValueSet

GRID_LIMIT = 1 << 22
"""Combinations of operands of a function that are looked at one by one."""
_PAIRS = 1 << 26
_WORK = 1 << 28
_AT_ONCE = 1 << 22


class StrongPropagation(DomainPropagation):
    """Narrower domains of a network that may have functions and sets of different values."""

    def __init__(self, network: Network) -> None:
        self._work = _WORK  # pairs that may still be looked at
        super().__init__(network)

    def computed(self, node: Node) -> ValueSet:
        if node.kind is Kind.FUNCTION:
            return self._applied(node)
        if node.symbols is not None:
            return ValueSet(0, (1 << len(node.symbols)) - 1)
        return super().computed(node)

    def grid(self, node: Node) -> tuple[Numbers, Truth] | None:
        """A function's values, and where it has some, with an axis for each operand; None where they are too many."""
        sets = [self.of[str(operand)].values for operand in node.operands]
        known = [values for values in sets if values is not None]
        if len(known) < len(sets) or math.prod(len(values) for values in known) > GRID_LIMIT:
            return None
        shape = tuple(len(values) for values in known)
        assert node.function is not None
        values, valid = node.function.compute(meshed(known))
        return np.broadcast_to(values, shape), np.broadcast_to(valid, shape)

    def _applied(self, node: Node) -> ValueSet:
        operands = [self.of[str(operand)] for operand in node.operands]
        if any(operand.empty for operand in operands):
            return ValueSet(1, 0, np.zeros(0, dtype=np.int64))
        grid = self.grid(node)
        if grid is not None:
            values, valid = grid
            return ValueSet.limited(np.unique(values[valid])) if valid.any() else ValueSet.of(values[valid])
        assert node.function is not None
        return ValueSet(*node.function.bounds([(operand.low, operand.high) for operand in operands]))

    def narrow(self, node: Node) -> None:
        if node.symbols is not None:
            self._narrow_distinct(node)
            return
        super().narrow(node)
        if node.kind is Kind.FUNCTION and not self.of[node.name].empty:
            grid = self.grid(node)
            if grid is None:
                return
            kept = grid[1] & self.of[node.name].contains(grid[0])
            for axis, operand in enumerate(node.operands):
                others = tuple(other for other in range(kept.ndim) if other != axis)
                self.filter(str(operand), np.asarray(kept.any(axis=others), dtype=bool))

    def _narrow_distinct(self, node: Node) -> None:
        """A value that one child must have is none of the others'; as many values as children there must be."""
        for child in node.children:
            if self.of[child].size == 1:
                taken = self.of[child].low
                for other in node.children:
                    values = self.of[other].values
                    if other != child and values is not None:
                        self.filter(other, np.asarray(values != taken, dtype=bool))
        sets = [values for child in node.children if (values := self.of[child].values) is not None]
        if len(sets) == len(node.children) and len(np.unique(np.concatenate(sets))) < len(sets):
            self.feasible = False

    def narrow_pair(self, check: Check) -> None:
        if len(check.scope) != 2 or isinstance(check.constraint, Predicate):
            return
        self._narrow_bounds(check)
        left, right = (self.of[name].values for name in check.scope)
        if left is None or right is None or not left.size or not right.size:
            return
        pairs = left.size * right.size
        if isinstance(check.constraint, Eq | Le | Lt | Ne) or pairs > min(_PAIRS, self._work):
            return
        self._work -= pairs
        some, chunk = np.zeros(right.size, dtype=bool), max(1, _AT_ONCE // right.size)
        keep = np.zeros(left.size, dtype=bool)
        for begin in range(0, left.size, chunk):
            part = left[begin : begin + chunk]
            holds = np.broadcast_to(check.holds([part[:, None], right[None, :]]), (part.size, right.size))
            keep[begin : begin + chunk] = holds.any(axis=1)
            some |= holds.any(axis=0)
        self.filter(check.scope[0], keep)
        self.filter(check.scope[1], some)

    def _narrow_bounds(self, check: Check) -> None:
        constraint = check.constraint
        if isinstance(constraint, Divides):
            self._narrow_divisor(str(constraint.divisor), str(constraint.dividend))
        if not isinstance(constraint, Eq | Le | Lt | Ne):
            return
        one, other = str(constraint.left), str(constraint.right)
        left, right = self.of[one], self.of[other]
        if left.empty or right.empty:
            return
        if isinstance(constraint, Ne):
            self._without(one, right)
            self._without(other, left)
        elif isinstance(constraint, Eq):
            self.keep(one, right)
            self.keep(other, self.of[one])
        else:
            step = int(isinstance(constraint, Lt))
            self._within(one, left.low, right.high - step)
            self._within(other, left.low + step, right.high)

    def _without(self, name: str, other: ValueSet) -> None:
        values = self.of[name].values
        if other.size == 1 and values is not None:
            self.filter(name, np.asarray(values != other.low, dtype=bool))

    def _within(self, name: str, low: int, high: int) -> None:
        self.keep(name, ValueSet(low, high) if low <= high else ValueSet(1, 0, np.zeros(0, dtype=np.int64)))

    def _narrow_divisor(self, divisor: str, dividend: str) -> None:
        """A divisor is no larger than what it divides, if that is not 0."""
        multiple = self.of[dividend]
        least, most = multiple.low, multiple.high
        zero = least <= 0 <= most
        if zero and (multiple.values is None or multiple.contains(np.zeros(1, dtype=np.int64))[0]):
            return
        bound = max(abs(least), abs(most))
        self._within(divisor, max(self.of[divisor].low, -bound), min(self.of[divisor].high, bound))


def meshed(columns: Sequence[Numbers]) -> list[Numbers]:
    """The columns as arrays that broadcast to all combinations, an axis each."""
    axes = range(len(columns))
    return [column.reshape([-1 if axis == own else 1 for axis in axes]) for own, column in enumerate(columns)]
