"""Variable ordering: the size of a decision diagram depends on it by orders of magnitude; the best is NP-hard to find.

The number of states after some variables is estimated from the number of classes of every unfinished product and sum
(and of every value waited for). A greedy order and the declared one are improved by moving single variables while the
estimated total falls (the sifting of Rudell, "Dynamic variable ordering for ordered binary decision diagrams", 1993, on
estimates in place of the diagram itself).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from flextune.csp.equivalence import Equivalence, Ids
from flextune.csp.network import Network, Node, inputs_of
from flextune.csp.propagation import DomainPropagation, ValueSet, folded, start_value

_MAX_BITS = 60.0
_PASSES = 4


class Ordering:
    """Estimates, and orders found with them, for one component."""

    def __init__(
        self, network: Network, domains: DomainPropagation, equivalence: Equivalence, *, by_candidates: bool = False
    ) -> None:
        self._by_candidates = by_candidates  # count pairs of a state and a value, not only states
        self.network = network
        self.domains = domains
        self.equivalence = equivalence
        self.leaves = network.leaves()
        self._bit = {name: 1 << position for position, name in enumerate(self.leaves)}
        self._below: dict[str, int] = {}
        for node in network.nodes.values():
            self._below[node.name] = self._bit.get(node.name, 0) | self._union(inputs_of(node))
        self._relevant = {name: self._readers(name) for name in network.nodes}
        self._touched = {
            leaf: [n for n, mask in self._relevant.items() if mask & bit] for leaf, bit in self._bit.items()
        }
        self._known: dict[tuple[str, int], float] = {}

    def _union(self, names: Sequence[str]) -> int:
        mask = 0
        for name in names:
            mask |= self._below[name]
        return mask

    def _readers(self, name: str) -> int:
        """The leaves on which it depends whether the node is part of the state."""
        mask = self._below[name]
        for user in self.domains.users[name]:
            if not self.network.nodes[user].accumulates:
                mask |= self._below[user]
        for check in self.domains.checks[name]:
            mask |= self._union(check.scope)
        return mask

    def improved(self, order: Sequence[str]) -> tuple[str, ...]:
        """A local optimum under moves of one variable."""
        best, cost = list(order), self.cost(order)
        for _ in range(_PASSES):
            before = cost
            for name in list(best):
                best, cost = self._moved(best, name, cost)
            if cost > 0.9 * before:
                break
        return tuple(best)

    def _moved(self, order: list[str], name: str, cost: float) -> tuple[list[str], float]:
        rest = [other for other in order if other != name]
        best = order
        for position in range(len(order)):
            candidate = [*rest[:position], name, *rest[position:]]
            estimate = self.cost(candidate, cost)
            if estimate < cost * 0.999:
                best, cost = candidate, estimate
        return best, cost

    def cost(self, order: Sequence[str], stop: float = math.inf) -> float:
        """The estimated number of states of all layers (anything above `stop` once it is passed)."""
        done, total = 0, 0.0
        bits: dict[str, float] = {}
        level = 0.0
        for leaf in order:
            if self._by_candidates:
                total += 2.0 ** min(level + self._full(leaf), 200.0)
            done |= self._bit[leaf]
            for name in self._touched[leaf]:
                new = self._bits(name, done)
                level += new - bits.get(name, 0.0)
                bits[name] = new
            total += 2.0 ** min(level, 200.0)
            if total > stop:
                break
        return total

    def greedy(self) -> tuple[str, ...]:
        """Next comes the variable that leaves the least unfinished, where a node counts by its full size."""
        left, order, done = list(self.leaves), [], 0
        while left:
            best = min(left, key=lambda leaf: self._unfinished(done | self._bit[leaf]))
            left.remove(best)
            order.append(best)
            done |= self._bit[best]
        return tuple(order)

    def _unfinished(self, done: int) -> float:
        return sum(self._full(name) for name in self.network.nodes if self._bits(name, done) > 0)

    def _full(self, name: str) -> float:
        return math.log2(1 + min(self.domains.of[name].size, 2**60))

    def _bits(self, name: str, done: int) -> float:
        """log2 of the number of states the node brings in when these leaves are assigned."""
        key = (name, done & self._relevant[name])
        if key not in self._known:
            self._known[key] = min(_MAX_BITS, self._computed(self.network.nodes[name], done))
        return self._known[key]

    def _computed(self, node: Node, done: int) -> float:
        if not self._below[node.name] & ~done:
            pending = [u for u in self.domains.users[node.name] if not self.network.nodes[u].accumulates]
            waiting = [user for user in pending if self._below[user] & ~done]
            waiting += [c.key for c in self.domains.checks[node.name] if self._union(c.scope) & ~done]
            return self._final_bits(node, frozenset(waiting)) if waiting else 0.0
        absorbed = frozenset(child for child in node.children if not self._below[child] & ~done)
        return self._partial_bits(node, absorbed) if absorbed else 0.0

    def _partial_bits(self, node: Node, absorbed: frozenset[str]) -> float:
        if node.symbols is not None:
            return math.log2(math.comb(len(node.symbols), len(absorbed)))
        domain = ValueSet.of(start_value(node))
        for child in absorbed:
            domain = folded(node, domain, self.domains.contribution(node, child))
        if domain.values is None:
            return _log2(domain.size)
        return _bits_of(self.equivalence.partial(node, frozenset(node.children) - absorbed, domain.values))

    def _final_bits(self, node: Node, pending: frozenset[str]) -> float:
        domain = self.domains.of[node.name]
        if domain.values is None:
            marks = self.equivalence.marks(node.name, pending)
            return _log2(domain.size if marks is None else min(domain.size, 2 * len(marks) + 1))
        return _bits_of(self.equivalence.final(node.name, domain.values, pending))


def _log2(size: int) -> float:
    return math.log2(max(1, min(size, 2**60)))


def _bits_of(ids: Ids) -> float:
    return _log2(len(np.unique(ids[ids >= 0])))
