"""Which states may be merged: values that no later constraint can tell apart are one class, and share a state.

It is the Myhill-Nerode relation of automata, on one part of the state: two partial results are equivalent if every
completion of one is a completion of the other. They are compared by a table with a row per value and a column per
outcome that may still come (from the propagated domains); equal rows are one class, and a row in which nothing holds is
a dead value (-1). Parts are compared one by one, so that classes may be finer than the best: never too coarse.

For a product that only has to stay below a bound this leaves floor(bound / product) (or fewer classes: only the
factors that can still come matter), for "multiple of m" the greatest common divisor with m, for an exact total what is
left; it is computed from the sets of possible values, so that every mixture of such uses is covered by one rule.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from flextune.csp.arithmetic import Numbers
from flextune.csp.constraint import Eq, Le, Lt, Ne, Predicate, Truth
from flextune.csp.network import Check, Interval, Network, Node
from flextune.csp.propagation import PAIR_LIMIT, DomainPropagation, ValueSet, is_interval, start_value, window
from flextune.csp.strong_propagation import StrongPropagation

Ids = npt.NDArray[np.int64]
"""A class per value; -1 where the value cannot occur in a solution."""

_MATRIX_LIMIT = 4 * PAIR_LIMIT


@dataclass(frozen=True)
class Classes:
    """Classes of the final values of one node: `ids` by position in its value set; None: all alike, or (exact) none."""

    exact: bool
    ids: Ids | None = None


class Equivalence:
    """Classes of final and partial values, remembered by what is still to come."""

    def __init__(self, network: Network, domains: DomainPropagation) -> None:
        self.network = network
        self.domains = domains
        self._final: dict[tuple[str, frozenset[str] | None], Classes] = {}
        self._marks: dict[tuple[str, frozenset[str] | None], Numbers | None] = {}

    def final(self, name: str, values: Numbers, pending: frozenset[str] | None = None) -> Ids:
        """Classes of final values of a node.

        `pending` names the selections and checks (by position) that still read it; None: everything that ever does.
        """
        classes = self._classes(name, pending)
        domain = self.domains.of[name]
        if domain.values is not None:
            positions = domain.positions(values)
            if classes.exact:
                return positions
            found = np.zeros(1, dtype=np.int64) if classes.ids is None else classes.ids
            return np.where(positions < 0, -1, found[np.minimum(positions, len(found) - 1)])
        possible = self._possible(name, values)
        if not classes.exact:
            return np.where(possible, 0, -1)
        marks = self.marks(name, pending)
        if marks is not None and values.dtype != object:
            values = np.searchsorted(marks, values, side="left") + np.searchsorted(marks, values, side="right")
        return np.where(possible, np.unique(values, return_inverse=True)[1].reshape(values.shape), -1)

    def marks(self, name: str, pending: frozenset[str] | None = None) -> Numbers | None:
        """Numbers between any two of which all values of a node are alike to what still reads it; None: not known.

        Spaces that compile without it are left as they are.
        """
        if not isinstance(self.domains, StrongPropagation):
            return None
        if (name, pending) not in self._marks:
            self._marks[name, pending] = self._marked(name, pending)
        return self._marks[name, pending]

    def _marked(self, name: str, pending: frozenset[str] | None) -> Numbers | None:
        found: list[Numbers | None] = []
        for check in self.domains.checks[name]:
            if pending is None or check.key in pending:
                other = self.domains.of[next(each for each in check.scope if each != name)]
                known = isinstance(check.constraint, Eq | Ne | Le | Lt)
                found.append(
                    (_every((other.low, other.high)) if other.values is None else other.values) if known else None
                )
        for user in (self.network.nodes[user] for user in self.domains.users[name]):
            if pending is None or user.name in pending:
                intervals = [(self.domains.of[str(o)].low, self.domains.of[str(o)].high) for o in user.operands]
                tell = None if user.function is None else user.function.span
                span = None if tell is None else tell(user.operands.index(name), intervals)
                found.append(None if span is None else _every(span))
        arrays = [marks for marks in found if marks is not None and marks.dtype != object]
        return np.unique(np.concatenate(arrays)) if found and len(arrays) == len(found) else None

    def partial(self, node: Node, remaining: frozenset[str], values: Numbers) -> Ids:
        """Classes of partial results of a product or sum to which the remaining children are still to be added."""
        if node.symbols is not None:
            return self._taken(node, remaining, values)
        if not remaining:
            return self.final(node.name, values)
        return self._against(node, values, self.domains.rest(node, remaining))

    def _taken(self, node: Node, remaining: frozenset[str], taken: Numbers) -> Ids:
        """Classes of sets of different values: by those that the remaining children could take, too.

        Dead are sets (and -1, which is none) that leave one of these children without a value, or all together too few.
        """
        alive = np.asarray(taken >= 0, dtype=bool)
        wanted = 0
        for child in remaining:
            bits = self._bits(node, child)
            alive &= np.asarray((bits & ~taken) != 0, dtype=bool)
            wanted |= bits
        left = wanted & ~taken
        if remaining:
            alive &= popcount(left) >= len(remaining)
        return np.where(alive, np.unique(left, return_inverse=True)[1].reshape(-1), -1)

    def _bits(self, node: Node, child: str) -> int:
        values = self.domains.of[child].values
        assert values is not None
        return sum(int(bit) for bit in node.contribution(child, values))

    def _possible(self, name: str, values: Numbers) -> Truth:
        possible = self.domains.of[name].contains(values)
        for check in self.domains.unary[name]:
            possible = possible & check.holds([values])
        return possible

    def _against(self, node: Node, values: Numbers, rest: ValueSet) -> Ids:
        if rest.empty:
            return np.full(len(values), -1, dtype=np.int64)
        classes = self._classes(node.name, None)
        if not classes.exact and classes.ids is None and is_interval(self.domains.unary[node.name]):
            found = _interval_classes(node, values, rest, self.domains.of[node.name])
            if found is not None:
                return found
        if rest.values is None or values.size * rest.values.size > _MATRIX_LIMIT:
            return np.where(self.domains.supported(node, values, rest), np.arange(len(values)), -1)
        outcomes = self.final(node.name, node.accumulated(values[:, None], rest.values[None, :]))
        if classes.exact:
            return np.where((outcomes >= 0).any(axis=1), np.arange(len(values)), -1)
        return self._rows(outcomes)

    def _rows(self, outcomes: Ids) -> Ids:
        """A class per different row; -1 for rows of -1 only."""
        hashes = (outcomes + 2) @ _hash_weights(outcomes.shape[1])
        _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
        if not np.array_equal(outcomes[first[inverse]], outcomes):  # two different rows with one hash
            inverse = np.arange(len(outcomes))
        return np.where((outcomes >= 0).any(axis=1), inverse, -1)

    def _classes(self, name: str, pending: frozenset[str] | None) -> Classes:
        key = (name, pending)
        if key not in self._final:
            self._final[key] = self._classified(name, pending)
        return self._final[key]

    def _classified(self, name: str, pending: frozenset[str] | None) -> Classes:
        users = [self.network.nodes[user] for user in self.domains.users[name]]
        checks = self.domains.checks[name]
        if pending is not None:
            users = [user for user in users if user.name in pending]
            checks = [check for check in checks if check.key in pending]
        if not users and not checks:
            return Classes(exact=False)
        values = self.domains.of[name].values
        if values is None or not values.size:
            return Classes(exact=True)
        columns: list[Ids] = []
        by_users = (self._by_user(user, name, values) for user in users)
        by_checks = (self._by_check(check, name, values) for check in checks)
        for found in itertools.chain(by_users, by_checks):
            if found is None:
                return Classes(exact=True)
            columns.append(found)
        joint = self._rows(np.stack(columns, axis=1))
        joint[np.min(np.stack(columns, axis=1), axis=1) < 0] = -1
        return Classes(exact=False, ids=joint)

    def _by_user(self, user: Node, name: str, values: Numbers) -> Ids | None:
        if user.symbols is not None:
            others = 0
            for child in user.children:
                others |= 0 if child == name else self._bits(user, child)
            shared = np.unique(user.contribution(name, values) & others, return_inverse=True)[1]
            return np.asarray(shared.reshape(-1), dtype=np.int64)
        if user.accumulates:
            start = user.accumulated(start_value(user), user.contribution(name, values))
            return self._against(user, start, self.domains.rest(user, frozenset(user.children) - {name}))
        if user.function is not None:
            return self._by_function(user, name, values)
        if user.operands[0] == name:
            return None
        return self.final(user.name, values) + 1  # an impossible result only matters where the option is chosen

    def _by_function(self, user: Node, name: str, values: Numbers) -> Ids | None:
        """Classes by the function's results with all that the other operands can be."""
        grids = self._others(user.operands, name, len(values))
        if grids is None:
            return None
        operands = iter(grids)
        assert user.function is not None
        columns = [values[:, None] if operand == name else next(operands) for operand in user.operands]
        results, valid = user.function.compute(columns)
        found = np.where(valid, self.final(user.name, results), -1)
        return self._rows(
            np.ascontiguousarray(np.broadcast_to(found, np.broadcast_shapes(*(c.shape for c in columns))))
        )

    def _by_check(self, check: Check, name: str, values: Numbers) -> Ids | None:
        if isinstance(check.constraint, Predicate):
            return None
        grids = self._others(check.scope, name, len(values))
        if grids is None:
            return None
        operands = iter(grids)
        columns = [values[:, None] if other == name else next(operands) for other in check.scope]
        shape = np.broadcast_shapes(*(column.shape for column in columns))
        return self._rows(np.where(np.broadcast_to(check.holds(columns), shape), 0, -1))

    def _others(self, scope: Sequence[str | int], name: str, size: int) -> list[Numbers] | None:
        """All combinations of the values of the other nodes, as rows; None where they are too many."""
        others = [self.domains.of[str(other)] for other in scope if other != name]
        grids: list[Numbers] = []
        for position, other in enumerate(others):
            if other.values is None or size * other.values.size > _MATRIX_LIMIT:
                return None
            size *= max(1, other.values.size)
            grids.append(other.values.reshape([-1 if axis == position else 1 for axis in range(len(others))]))
        shape = np.broadcast_shapes(*(grid.shape for grid in grids))
        return [np.broadcast_to(grid, shape).ravel()[None, :] for grid in grids]


def _every(interval: Interval) -> Numbers | None:
    """All numbers of an interval, if they are not too many."""
    low, high = interval
    return np.arange(low, high + 1, dtype=np.int64) if 0 <= high - low < _MATRIX_LIMIT else None


def popcount(bits: Numbers) -> Numbers:
    """How many bits are set, by element."""
    return np.array([int(value).bit_count() for value in bits], dtype=np.int64)


@lru_cache(maxsize=64)
def _hash_weights(count: int) -> Ids:
    return np.random.default_rng(20).integers(1, 2**62, count, dtype=np.int64) | 1


def _interval_classes(node: Node, values: Numbers, rest: ValueSet, target: ValueSet) -> Ids | None:
    """Classes where only the bounds of the result matter; None where signs make this rule wrong."""
    between = window(node, values, rest, target.low, target.high)
    if between is None:
        return None
    first, after = between
    spread, span = int(first.max()) - int(first.min()) + 1, int(after.max()) - int(after.min()) + 1
    if spread * span >= 2**62:
        return None
    return np.where(first < after, (after - after.min()) * spread + (first - first.min()), -1)
