"""Domain propagation: which values each node of a network can take at all.

A domain is an explicit set while it is small (domain consistency), else its bounds (bounds consistency). Propagation
narrows domains until nothing changes or a few rounds are over, as in AC-3 (Mackworth, "Consistency in networks of
relations", 1977): a value stays only while every constraint that reads it has a *support*, that is holds with some
values of the others. Two kinds of constraint are propagated: a definition (product, sum, selection) both ways between
its inputs and its result, and checks of one or two nodes. Which constraint to look at again is known from version
numbers of the domains, not from a queue.

For a product or sum r = x1 ∘ x2 ∘ ... ∘ xn the support of a value of x1 is found from the set of what x2 ∘ ... ∘ xn can
be (`rest`): exact while sets are small, where pairwise propagation of x1 ∘ (x2 ∘ ...) would only know bounds.

Nothing here removes a solution, and not all that is left need be part of one: the diagram compiled next is exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flextune.csp import arithmetic
from flextune.csp.arithmetic import Numbers
from flextune.csp.constraint import Eq, Le, Lt, Predicate, Truth
from flextune.csp.domain import INT64_MAX, INT64_MIN
from flextune.csp.network import Check, Kind, Network, Node, combined_interval, inputs_of

SET_LIMIT = 1 << 14
"""Larger value sets are kept as bounds only."""
PAIR_LIMIT = 1 << 18
"""Pairs of values looked at in one step."""
_TABLE_LIMIT = 1 << 20
_MATRIX_LIMIT = 1 << 15
_SAFE = 2**62
_ROUNDS = 4
_MANY_CHILDREN = 64


@dataclass
class ValueSet:
    """A domain: exactly `values` (sorted), or if that is None anything from `low` to `high` (both included)."""

    low: int
    high: int
    values: Numbers | None = None
    _table: npt.NDArray[np.int32] | None = None

    @classmethod
    def of(cls, values: Numbers) -> ValueSet:
        """Exactly these sorted values; an empty set has `low > high`."""
        if not values.size:
            return cls(1, 0, values.astype(np.int64))
        return cls(int(values[0]), int(values[-1]), values)

    @classmethod
    def limited(cls, values: Numbers) -> ValueSet:
        """These sorted values, or their bounds where they are too many to keep."""
        return cls.of(values) if len(values) <= SET_LIMIT else cls(int(values[0]), int(values[-1]))

    @property
    def empty(self) -> bool:
        return self.low > self.high

    @property
    def size(self) -> int:
        """Number of values, an upper bound where they are not known."""
        return self.high - self.low + 1 if self.values is None else len(self.values)

    def positions(self, values: Numbers) -> npt.NDArray[np.int64]:
        """The index of each value in the set, -1 where it is no member. Only for known sets."""
        known = self.values
        assert known is not None
        if not known.size:
            return np.full(values.shape, -1, dtype=np.int64)
        if self._tabulated(values):
            if self._table is None:
                self._table = np.full(self.high - self.low + 3, -1, dtype=np.int32)
                self._table[known - (self.low - 1)] = np.arange(len(known), dtype=np.int32)
            return self._table[np.clip(values, self.low - 1, self.high + 1) - (self.low - 1)].astype(np.int64)
        found = np.minimum(np.searchsorted(known, values), len(known) - 1)
        return np.where(known[found] == values, found, -1).astype(np.int64)

    def _tabulated(self, values: Numbers) -> bool:
        """Whether a table over the whole range pays for so many look-ups (and cannot overflow)."""
        span = self.high - self.low
        if span > _TABLE_LIMIT or self.values is None or object in (values.dtype, self.values.dtype):
            return False
        return (self._table is not None or 4 * values.size >= span) and self.low > -_SAFE and self.high < _SAFE

    def contains(self, values: Numbers) -> Truth:
        """Which of the values are possible (for bounds: within them)."""
        if self.values is not None:
            return self.positions(values) >= 0
        return np.asarray((values >= self.low) & (values <= self.high), dtype=bool)


def folded(node: Node, left: ValueSet, right: ValueSet) -> ValueSet:
    """What the node's product or sum of the two can be."""
    if left.empty or right.empty:
        return ValueSet(1, 0, np.zeros(0, dtype=np.int64))
    if left.values is not None and right.values is not None and left.values.size * right.values.size <= PAIR_LIMIT:
        return ValueSet.limited(np.unique(node.accumulated(left.values[:, None], right.values[None, :])))
    return ValueSet(*combined_interval(node.kind, (left.low, left.high), (right.low, right.high)))


def start_value(node: Node) -> Numbers:
    """The result of a product or sum before any child has come in, as an array of one."""
    return arithmetic.narrowed(np.array([node.constant], dtype=object))


class DomainPropagation:
    """The current domain of every node, and of the unassigned part of every product and sum."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.users = network.users()
        self.unary: dict[str, list[Check]] = {name: [] for name in network.nodes}
        self.checks: dict[str, list[Check]] = {name: [] for name in network.nodes}
        for check in network.checks:
            into = self.unary if len(check.scope) == 1 else self.checks
            for name in check.scope:
                into[name].append(check)
        self.of: dict[str, ValueSet] = {}  # the current domain, by node
        self._version = dict.fromkeys(network.nodes, 0)
        self._rest: dict[tuple[str, frozenset[str]], ValueSet] = {}
        self._ends: dict[str, tuple[list[ValueSet], list[ValueSet]]] = {}
        # Nodes come after what they are computed from: one pass forward gives every node its first domain.
        for node in network.nodes.values():
            self.of[node.name] = self._checked(node, self.computed(node))
        self.feasible = network.feasible and not any(domain.empty for domain in self.of.values())

    def rest(self, node: Node, remaining: frozenset[str]) -> ValueSet:
        """What the remaining children of a product or sum can bring in together (its constant not included)."""
        key = (node.name, remaining)
        if key not in self._rest:
            result = self._long_rest(node, remaining) if len(node.children) > _MANY_CHILDREN else None
            if result is None:
                result = self._running(node, [child for child in node.children if child in remaining])[-1]
            self._rest[key] = result
        return self._rest[key]

    def _running(self, node: Node, children: Iterable[str]) -> list[ValueSet]:
        """What none of the children can bring in, the first one, the first two, ..."""
        neutral = 1 if node.kind is Kind.PRODUCT else 0
        found = [ValueSet.of(np.array([neutral], dtype=np.int64))]
        for child in children:
            found.append(folded(node, found[-1], self.contribution(node, child)))
        return found

    def _long_rest(self, node: Node, remaining: frozenset[str]) -> ValueSet | None:
        """`rest` of the last children, or of all but one, in a time that does not grow with their number."""
        children = list(node.children)
        if node.name not in self._ends:
            self._ends[node.name] = self._running(node, children), self._running(node, reversed(children))
        first, last = self._ends[node.name]
        if remaining == frozenset(children[len(children) - len(remaining) :]):
            return last[len(remaining)]
        if len(remaining) == len(children) - 1:
            left_out = next(index for index, child in enumerate(children) if child not in remaining)
            return folded(node, first[left_out], last[len(children) - 1 - left_out])
        return None

    def contribution(self, node: Node, child: str) -> ValueSet:
        """What one child can bring into the product or sum."""
        domain, times = self.of[child], node.children[child]
        if times == 1 or domain.empty:
            return domain
        if domain.values is not None:
            return ValueSet.limited(np.unique(node.contribution(child, domain.values)))
        bounds = (domain.low, domain.high)
        result = bounds
        for _ in range(times - 1):
            result = combined_interval(node.kind, result, bounds)
        return ValueSet(*result)

    def computed(self, node: Node) -> ValueSet:
        """What a node can be, by what it is computed from."""
        if node.values is not None:
            return ValueSet.of(node.values)
        if node.kind is Kind.SELECTION:
            return self._selected(node)
        return folded(node, ValueSet.of(start_value(node)), self.rest(node, frozenset(node.children)))

    def _operand(self, operand: str | int) -> ValueSet:
        return self.of[operand] if isinstance(operand, str) else ValueSet.of(np.array([operand], dtype=np.int64))

    def _selected(self, node: Node) -> ValueSet:
        index, *options = map(self._operand, node.operands)
        chosen = [option for i, option in enumerate(options) if index.contains(np.array([i], dtype=np.int64))[0]]
        chosen = [option for option in chosen if not option.empty]
        if not chosen:
            return ValueSet(1, 0, np.zeros(0, dtype=np.int64))
        sets = [option.values for option in chosen if option.values is not None]
        if len(sets) == len(chosen):
            return ValueSet.limited(np.unique(np.concatenate(sets)))
        return ValueSet(min(option.low for option in chosen), max(option.high for option in chosen))

    def _checked(self, node: Node, domain: ValueSet) -> ValueSet:
        """Narrowed by what concerns this node alone."""
        if domain.values is not None:
            keep = np.ones(len(domain.values), dtype=bool)
            for check in self.unary[node.name]:
                keep &= check.holds([domain.values])
            if node.bounded:
                keep &= np.asarray((domain.values >= INT64_MIN) & (domain.values <= INT64_MAX), dtype=bool)
            return domain if keep.all() else ValueSet.of(arithmetic.narrowed(domain.values[keep]))
        low, high = domain.low, domain.high
        if node.bounded:
            low, high = max(low, INT64_MIN), min(high, INT64_MAX)
        for check in self.unary[node.name]:
            low, high = _tightened(check, low, high)
        return ValueSet(low, high)

    def propagate(self) -> None:
        """Narrow until nothing changes (or a few rounds are over); `feasible` becomes false when a set empties."""
        seen: dict[str, tuple[int, ...]] = {}
        for _ in range(_ROUNDS):
            before = sum(self._version.values())
            for node in self.network.nodes.values():
                if self._changed(seen, node.name, (node.name, *inputs_of(node))):
                    self.narrow(node)
            for check in self.network.checks:
                if self._changed(seen, check.key, check.scope):
                    self.narrow_pair(check)
            self.feasible = self.feasible and not any(domain.empty for domain in self.of.values())
            if not self.feasible or before == sum(self._version.values()):
                return

    def _changed(self, seen: dict[str, tuple[int, ...]], key: str, names: Sequence[str]) -> bool:
        """Whether the values of any of these nodes changed since the last call with this key."""
        versions = tuple(self._version[name] for name in names)
        return seen.get(key) != versions and seen.update({key: versions}) is None

    def narrow(self, node: Node) -> None:
        """Propagate a definition both ways."""
        if node.kind is Kind.LEAF:
            return
        # Forward: the result is at most what the inputs give.
        self.keep(node.name, self._checked(node, self.computed(node)))
        if self.of[node.name].empty:
            return
        # Backward: an input keeps the values that have a support, given the result and the other inputs.
        if node.accumulates:
            for child in node.children:
                others = frozenset(node.children) - {child}
                values = self.of[child].values
                if values is not None:
                    start = node.accumulated(start_value(node), node.contribution(child, values))
                    self.filter(child, self.supported(node, start, self.rest(node, others)))
        elif node.kind is Kind.SELECTION and isinstance(node.operands[0], str):
            values = self.of[node.operands[0]].values
            if values is not None:
                self.filter(node.operands[0], self._selectable(node, values))

    def _selectable(self, node: Node, indices: Numbers) -> Truth:
        keep = (indices >= 0) & (indices < len(node.operands) - 1)
        target = self.of[node.name]
        for position in np.flatnonzero(keep):
            option = self._operand(node.operands[1 + int(indices[position])])
            keep[position] = _overlap(option, target)
        return np.asarray(keep, dtype=bool)

    def supported(self, node: Node, partial: Numbers, rest: ValueSet) -> Truth:
        """Which partial results of the node can still end in a possible value with the rest."""
        target = self.of[node.name]
        if rest.empty or target.empty:
            return np.zeros(len(partial), dtype=bool)
        if rest.values is not None and partial.size * rest.values.size <= _MATRIX_LIMIT:
            ends_well = target.contains(node.accumulated(partial[:, None], rest.values[None, :]))
            return np.asarray(ends_well.any(axis=1), dtype=bool)
        # The rest is only bounds, or large: values of the rest that end within the target's bounds are an interval.
        between = window(node, partial, rest, target.low, target.high)
        if between is not None:
            return np.asarray(between[0] < between[1], dtype=bool)
        ends = [node.accumulated(partial, np.array(end, dtype=object)) for end in (rest.low, rest.high)]
        low, high = np.minimum(*ends), np.maximum(*ends)
        return np.asarray((high >= target.low) & (low <= target.high), dtype=bool)

    def narrow_pair(self, check: Check) -> None:
        """Leave both nodes of a check the values that have a partner."""
        if len(check.scope) != 2 or isinstance(check.constraint, Predicate):
            return
        left, right = (self.of[name].values for name in check.scope)
        if left is None or right is None or left.size * right.size > PAIR_LIMIT:
            return
        holds = np.broadcast_to(check.holds([left[:, None], right[None, :]]), (left.size, right.size))
        self.filter(check.scope[0], np.asarray(holds.any(axis=1), dtype=bool))
        self.filter(check.scope[1], np.asarray(holds.any(axis=0), dtype=bool))

    def filter(self, name: str, keep: Truth) -> None:
        """Leave a node with known values the marked ones."""
        if not keep.all():
            values = self.of[name].values
            assert values is not None
            self.keep(name, ValueSet.of(values[keep]))

    def keep(self, name: str, narrowed: ValueSet) -> None:
        """Intersect what is known of the node with `narrowed`."""
        known = self.of[name]
        if narrowed.values is not None:
            inside = known.contains(narrowed.values)
            new = narrowed if inside.all() else ValueSet.of(narrowed.values[inside])
        elif known.values is not None:
            inside = narrowed.contains(known.values)
            new = known if inside.all() else ValueSet.of(known.values[inside])
        else:
            new = ValueSet(max(known.low, narrowed.low), min(known.high, narrowed.high))
        if (new.low, new.high, new.size) != (known.low, known.high, known.size):
            self.of[name] = new
            self._version[name] += 1
            for user in self.users[name]:
                self._ends.pop(user, None)
                for key in [key for key in self._rest if key[0] == user]:
                    del self._rest[key]


def window(node: Node, partial: Numbers, rest: ValueSet, low: int, high: int) -> tuple[Numbers, Numbers] | None:
    """For each partial result, which values of the rest bring it between `low` and `high`: from, and up to before.

    Positions in the rest's values where these are known, else values. None where signs or size make this rule wrong.
    """
    if partial.dtype == object or not partial.size or max(-rest.low, rest.high) > _SAFE // 2:
        return None
    low, high = max(low, -_SAFE), min(high, _SAFE)
    if node.kind is Kind.PRODUCT:
        if partial.min() <= 0 or rest.low <= 0 or high < 0 or int(partial.max()) * rest.high > _SAFE:
            return None
        least, most = -(-low // partial), high // partial
    elif arithmetic.magnitude(partial) > _SAFE // 2:
        return None
    else:
        least, most = low - partial, high - partial
    if rest.values is None or rest.values.dtype == object:
        return np.maximum(least, rest.low), np.minimum(most, rest.high) + 1
    return np.searchsorted(rest.values, least, side="left"), np.searchsorted(rest.values, most, side="right")


def _overlap(one: ValueSet, other: ValueSet) -> bool:
    if one.values is not None:
        return bool(other.contains(one.values).any())
    if other.values is not None:
        return bool(one.contains(other.values).any())
    return max(one.low, other.low) <= min(one.high, other.high)


def _tightened(check: Check, low: int, high: int) -> tuple[int, int]:
    """Bounds after a check of this node against a constant; other checks leave them as they are."""
    constraint = check.constraint
    if not isinstance(constraint, Eq | Le | Lt):
        return low, high
    strict = isinstance(constraint, Lt)
    if isinstance(constraint.right, int):
        high = min(high, constraint.right - strict)
        return (max(low, constraint.right), high) if isinstance(constraint, Eq) else (low, high)
    if isinstance(constraint.left, int):
        low = max(low, constraint.left + strict)
        return (low, min(high, constraint.left)) if isinstance(constraint, Eq) else (low, high)
    return low, high


def is_interval(checks: Iterable[Check]) -> bool:
    """Whether these checks of one node against constants say no more than bounds."""
    for check in checks:
        constraint = check.constraint
        if not isinstance(constraint, Eq | Le | Lt):
            return False
        if isinstance(constraint.left, str) and isinstance(constraint.right, str):
            return False
    return True
